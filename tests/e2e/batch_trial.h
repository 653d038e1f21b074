// SPDX-License-Identifier: Apache-2.0
//
// `llava batch` over generated pictures: made, run, killed, and its records checked.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "llava/core/json.h"
#include "program.h"
#include "support/temporary_folder.h"

namespace llava::testing {

class BatchTrial : public TemporaryFolder {
 protected:
  /// Writes pictures 0 to count - 1, no two alike, every 50th cut off, and the questions about
  /// them as JSON lines.
  void make_pictures(int count);
  static bool is_damaged(int index) { return index % 50 == 17; }

  /// The command that answers all of them into a file of the test's folder.
  ProcessRequest command(const std::string& output, std::vector<std::string> more = {}) const;

  /// Runs it until the file has so many records, and kills it there and then. Returns the records
  /// it left.
  int run_and_kill(const std::string& output, int at_record) const;

  /// Memory of a whole run: what it usually has from record kWarmUp on (the median of what is seen
  /// until twice that), and what it holds at the end (the least during the last third). A leak
  /// raises the latter; what malloc keeps of the questions in flight, a few percent of this small
  /// program now and then, does not.
  struct MemoryUse {
    int64_t early_bytes = 0;
    int64_t late_bytes = 0;
  };
  static constexpr int kWarmUp = 500;
  MemoryUse run_and_measure(const std::string& output, int count) const;

  int num_records(const std::string& output) const;
  std::string content(const std::string& output) const;
  /// One record for each picture, in order: an answer, or an error where it is damaged. Returns the
  /// answers.
  std::vector<std::string> check_records(const std::string& output, int count) const;

  std::filesystem::path picture(int index) const;

  std::chrono::seconds timeout_{120};

 private:
  void wait_for_records(Process& process, const std::string& output, int count) const;
};

}  // namespace llava::testing
