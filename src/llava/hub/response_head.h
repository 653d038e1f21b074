// SPDX-License-Identifier: Apache-2.0
//
// ResponseHead: what the hub says in front of a file, read from header lines as they come.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace llava::hub {

/// Bytes [begin, end) of a file, and its size where the server knows it.
struct ContentRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  std::optional<uint64_t> size;
};

/// Fields that are absent, or whose value makes no sense, are nothing.
struct ResponseHead {
  int status = 0;
  std::optional<uint64_t> content_length;
  std::optional<ContentRange> content_range;
  std::string etag;                     ///< without quotes and W/
  std::string linked_etag;              ///< X-Linked-Etag: of the large file behind a redirect
  std::optional<uint64_t> linked_size;  ///< X-Linked-Size
  std::string commit;                   ///< X-Repo-Commit
  std::optional<std::chrono::seconds> retry_after;
  std::string error_code;     ///< X-Error-Code: "RepoNotFound", "GatedRepo", ...
  std::string error_message;  ///< X-Error-Message

  /// Takes one line, with or without its end. A status line begins a new head.
  void add_line(std::string_view line);

  /// Name of the file's content.
  const std::string& blob() const { return linked_etag.empty() ? etag : linked_etag; }
  std::optional<uint64_t> file_size() const { return linked_size ? linked_size : content_length; }
};

}  // namespace llava::hub
