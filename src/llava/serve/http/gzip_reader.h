// SPDX-License-Identifier: Apache-2.0
//
// GzipReader: unpacks a gzip file as its bytes arrive, within bounds: a few bytes can stand for
// gigabytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "llava/serve/http/request_head.h"

namespace llava::serve {

/// What may come of one packed byte. Text and base64 stay far below it.
inline constexpr uint64_t kMaxGzipRatio = 100;

/// Source: RFC 1952; one member.   Threads: one thread at a time.
class GzipReader {
 public:
  /// More than `max_bytes` are refused with 413.
  explicit GzipReader(uint64_t max_bytes);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  /// Unpacks `bytes` behind what `out` has. Why they are refused, if they are: 400 for damage, 413
  /// for too much, or more than kMaxGzipRatio times what was sent.
  std::optional<HeadError> push(std::string_view bytes, std::string& out);
  /// Whether the file is whole.
  bool is_done() const { return stage_ == Stage::kDone; }

 private:
  struct Inflater;
  enum class Stage { kHead, kData, kTrailer, kDone };

  std::optional<HeadError> read_head();
  std::optional<HeadError> read_data(std::string& out);
  std::optional<HeadError> read_trailer();

  uint64_t max_bytes_;
  uint64_t num_packed_ = 0;
  uint64_t num_unpacked_ = 0;
  std::string in_;  ///< not yet used
  Stage stage_ = Stage::kHead;
  std::unique_ptr<Inflater> inflater_;
};

}  // namespace llava::serve
