// SPDX-License-Identifier: Apache-2.0
//
// Pictures as requests carry them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "llava/core/file.h"
#include "program.h"

namespace llava::testing {

/// A PNG file as a data: address.
inline std::string data_url_of_bytes(std::string_view bytes) {
  const ProcessResult result = run_process({.arguments = {"/usr/bin/base64", "-w0"}}, bytes);
  EXPECT_EQ(result.status, 0);
  return "data:image/png;base64," + result.out;
}
inline std::string data_url_of(const std::string& path) {
  return data_url_of_bytes(read_file(path, 64 << 20));
}

}  // namespace llava::testing
