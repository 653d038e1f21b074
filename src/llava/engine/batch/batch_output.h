// SPDX-License-Identifier: Apache-2.0
//
// The answers of a batch: a file of JSON lines that only grows by whole records and that a later
// run continues.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace llava::engine {

/// A file whose line k is the record with `"index": k`.
///
/// A record is written by one append, so a process that is killed leaves whole records and at most
/// one torn line, which the next run removes. A killed process loses nothing of what it appended;
/// against a loss of power flush() is called every few seconds, and by who is done.
/// Threads: one thread at a time; a second process on the same file is refused.
class BatchOutput {
 public:
  /// Called with each record that is there already, in order.
  using OnRecord = std::function<void(const nlohmann::json& record)>;

  /// Opens or makes the file, and removes a torn last line.
  ///
  /// Throws: Error(kNotFound) when it cannot be opened, Error(kUnavailable) when another process
  /// writes it, Error(kBadFormat) naming the line that is no record of a batch; a file that is not
  /// one is left as it is.
  BatchOutput(std::filesystem::path path, const OnRecord& on_record);
  ~BatchOutput();
  BatchOutput(const BatchOutput&) = delete;
  BatchOutput& operator=(const BatchOutput&) = delete;

  /// Records in the file, which is the index of the next one.
  int64_t num_records() const noexcept { return num_records_; }

  /// Appends a record: one line without its end.
  ///
  /// Throws: Error(kResourceExhausted) when the disk refuses; the file then ends with the record
  /// before.
  void append(std::string_view line);

  /// Makes what was appended survive a loss of power.
  void flush();

 private:
  void lock();
  void read_records(const OnRecord& on_record);
  void check_tail(std::string_view tail) const;

  std::filesystem::path path_;
  int fd_ = -1;
  int64_t num_records_ = 0;
  int64_t num_bytes_ = 0;  // of whole records
  bool has_torn_end_ = false;
  bool is_flushed_ = true;
  std::chrono::steady_clock::time_point last_flush_;
};

}  // namespace llava::engine
