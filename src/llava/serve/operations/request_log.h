// SPDX-License-Identifier: Apache-2.0
//
// RequestLog: one line of JSON for each request, without what it said.
#pragma once

#include <string>

#include "llava/core/descriptor.h"
#include "llava/core/guarded.h"
#include "llava/serve/routing/request_record.h"

namespace llava::serve {

/// Threads: safe; each line is one write.
class RequestLog {
 public:
  /// `file` is appended to; "-" is the standard error output. With `hashes_addresses` clients are
  /// told apart by 12 hexadecimal digits that mean nothing after the process has ended.
  ///
  /// Throws: Error(kNotFound) when the file cannot be opened.
  RequestLog(const std::string& file, bool hashes_addresses);

  void write(const RequestRecord& record);
  /// Opens the file again, for what rotates logs.   Throws: as the constructor; the old one stays.
  void reopen();

 private:
  std::string address_text(const std::string& address) const;

  std::string file_;
  std::string salt_;  ///< empty: addresses are written as they are
  Guarded<Descriptor> out_;
};

}  // namespace llava::serve
