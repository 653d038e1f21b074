// SPDX-License-Identifier: Apache-2.0
//
// TensorBoard's event files: records of scalars that `tensorboard --logdir` draws.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace llava::train {

/// Writes an event file `events.out.tfevents.<time>.<host>.<pid>.0` in a folder.
///
/// Format: TFRecord (length, masked CRC-32C of the length, data, masked CRC-32C of the data), each
/// record an `Event` message in protobuf's wire format (fields wall_time 1, step 2, file_version 3,
/// summary 5 of values with tag 1 and simple_value 2).
/// Threads: one thread at a time.
class TensorBoardWriter {
 public:
  /// Throws: Error(kNotFound) when the folder cannot be made or the file not opened.
  explicit TensorBoardWriter(const std::filesystem::path& folder);

  /// One point of the curve `tag`. Written through at once.
  void add_scalar(std::string_view tag, double value, int64_t step);

 private:
  void write_record(std::string_view event);

  std::ofstream file_;
};

/// The checksum of TFRecord: CRC-32C (Castagnoli) rotated right by 15 plus 0xa282ead8.
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace llava::train
