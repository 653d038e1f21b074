// SPDX-License-Identifier: Apache-2.0
//
// The records of a streaming body, which end with NUL, from bytes that come in any pieces: a chunk
// of HTTP may hold several records or a part of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "llava/core/function_ref.h"

namespace llava::serve {

/// A record holds prompt and answer as escaped text, without pictures.
inline constexpr std::size_t kMaxRecordBytes = std::size_t{16} << 20;

/// Splits one body. Empty records are left out, as the original does.
///
/// Threads: one thread at a time.
class RecordSplitter {
 public:
  /// The record lives until the call returns.
  using OnRecord = FunctionRef<void(std::string_view record)>;

  explicit RecordSplitter(std::size_t max_record_bytes = kMaxRecordBytes)
      : max_record_bytes_(max_record_bytes) {}

  /// Adds bytes; calls `on_record` for every record that they complete, in order, without its NUL.
  /// Bytes are not decoded, so that cuts inside a character do no harm.
  ///
  /// Throws: Error(kBadFormat) with the offset for a record longer than the bound, when those
  /// before it have been delivered; what `on_record` throws. The body cannot be read further then.
  void push(std::string_view bytes, OnRecord on_record);

  /// Ends the body; answers the rest behind the last NUL, a record that was cut off or one whose
  /// sender leaves out the last NUL. Nothing when the body ended with a record.
  std::optional<std::string> finish();

 private:
  std::size_t max_record_bytes_;
  std::string pending_;           ///< the beginning of a record
  uint64_t num_split_bytes_ = 0;  ///< before it
};

}  // namespace llava::serve
