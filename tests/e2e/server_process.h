// SPDX-License-Identifier: Apache-2.0
//
// A server of the program, started on a port of its own.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "program.h"

namespace llava::testing {

/// Threads: one thread at a time.
class ServerProcess {
 public:
  /// `llava ARGUMENTS...`, which print the address on a line when the server is there.
  explicit ServerProcess(std::vector<std::string> arguments)
      : process_(program_request(std::move(arguments))) {
    EXPECT_TRUE(process_.wait_for_output("http://127.0.0.1:"));
    EXPECT_TRUE(process_.wait_for_output("\n"));
    const std::string& out = process_.output();
    address_ = out.substr(out.rfind("http://"));
    address_.pop_back();
  }

  Process& process() { return process_; }
  const std::string& address() const { return address_; }
  int port() const { return std::stoi(address_.substr(address_.rfind(':') + 1)); }

 private:
  Process process_;
  std::string address_;
};

}  // namespace llava::testing
