// SPDX-License-Identifier: Apache-2.0
//
// The body of a request, of a given length or in chunks, from bytes as they arrive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "llava/serve/http/gzip_reader.h"
#include "llava/serve/http/request_head.h"

namespace llava::serve {

/// Threads: one thread at a time.
class RequestBody {
 public:
  /// `head_bytes` is what `head` was parsed from; both are needed here only. A body larger than
  /// `max_bytes` is refused with 413, one of known length before anything of it is read.
  /// With `is_gzip` it is unpacked as it comes; the bound then holds for both forms.
  RequestBody(const RequestHead& head, std::string_view head_bytes, uint64_t max_bytes,
              bool is_gzip = false);
  ~RequestBody();
  RequestBody(const RequestBody&) = delete;
  RequestBody& operator=(const RequestBody&) = delete;

  /// Takes what it needs of the bytes and returns how many. 0 can mean that more have to be there
  /// before any are taken; not all taken while neither `is_done` nor `error` means the same.
  std::size_t consume(std::string_view bytes);

  bool is_done() const { return is_done_; }
  const std::optional<HeadError>& error() const { return error_; }
  /// Bytes of the body so far, unpacked.
  uint64_t size() const { return bytes_.size(); }
  /// The body; once, when done.
  std::string take() { return std::move(bytes_); }

 private:
  struct Chunks;

  void refuse_size();
  void take_plain(std::string_view bytes);
  void end();

  uint64_t max_bytes_;
  uint64_t length_ = 0;
  std::string bytes_;
  uint64_t num_plain_ = 0;  ///< of a body of known length
  std::unique_ptr<Chunks> chunks_;
  std::unique_ptr<GzipReader> gzip_;
  bool is_done_ = false;
  std::optional<HeadError> error_;
};

}  // namespace llava::serve
