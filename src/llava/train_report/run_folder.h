// SPDX-License-Identifier: Apache-2.0
//
// The folder of a training run as it lies there: finished, running or killed. Read with the JSON
// files alone; the weights are not opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/train_report/predictions.h"
#include "llava/train_report/run_log.h"

namespace llava::train_report {

/// A checkpoint-N folder.
struct CheckpointFolder {
  std::string name;
  uint64_t step = 0;
  uint64_t bytes = 0;       ///< of all its files
  bool can_resume = false;  ///< it has what going on with the run needs
  bool is_best = false;
};

/// A file of the run's folder itself.
struct ResultFile {
  std::string name;
  uint64_t bytes = 0;
};

/// Everything a report shows. What is absent is empty.
struct RunFolder {
  std::filesystem::path path;
  std::string name;
  RunLog log;
  Json arguments;      ///< training_args.json, of the newest checkpoint if the folder has none
  Json config;         ///< the model's config.json, likewise
  Json trainer_state;  ///< trainer_state.json, likewise
  Json data_check;     ///< data_check.json, or the file that was given
  Predictions predictions;
  std::vector<CheckpointFolder> checkpoints;  ///< by step
  std::vector<ResultFile> files;              ///< by name; the run's own records are not among them
  std::vector<std::string> problems;          ///< what could not be read, one sentence each

  /// The run reached its end.
  bool is_finished() const { return log.summary().has_value(); }
  /// Steps the run was to make; 0 when nothing says.
  uint64_t num_steps() const;
};

/// Reads a run's folder. A file that is damaged is a problem of the report, not of the reading.
/// `data_check`: output of `llava data check --json` to take instead of the folder's; empty: that.
///
/// Throws: Error(kNotFound) when there is no such folder; Error(kBadFormat) when it is not that of
/// a run, or when a `data_check` that was given is not of that form.   Threads: safe.
RunFolder read_run_folder(const std::filesystem::path& path,
                          const std::filesystem::path& data_check = {});

}  // namespace llava::train_report
