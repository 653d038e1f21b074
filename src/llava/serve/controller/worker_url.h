// SPDX-License-Identifier: Apache-2.0
//
// The name of a worker is the URL under which others reach it. Whoever registers decides where
// prompts are sent, so that its form is checked strictly; which hosts are allowed is the caller's
// decision, by the parts given here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace llava::serve {

inline constexpr std::size_t kMaxWorkerNameBytes = 2048;

/// The parts of a worker's base URL.
struct WorkerUrl {
  bool is_tls = false;  ///< https
  std::string host;     ///< in lower case; an IPv6 address without its brackets
  uint16_t port = 0;    ///< 80 or 443 when the URL names none
  std::string path;     ///< "" or begins with '/'; requests append theirs
};

/// Parses a worker's name.
///
/// Throws: Error(kInvalidArgument) for other schemes than http and https, credentials, a query or a
/// fragment (both would swallow the path that requests append), an empty host or one with
/// characters that no host has, a port outside [1, 65535], spaces, backslashes, control characters
/// and non-ASCII anywhere, and more than kMaxWorkerNameBytes.   Threads: safe.
WorkerUrl parse_worker_url(std::string_view name);

}  // namespace llava::serve
