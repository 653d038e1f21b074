// SPDX-License-Identifier: Apache-2.0
//
// A batch from end to end: items in, one record for each out, in order, from where an earlier run
// ended.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

#include "llava/core/progress.h"
#include "llava/engine/batch/answer_service.h"
#include "llava/engine/batch/batch_input.h"

namespace llava::engine {

/// How a batch runs.
struct BatchRunOptions {
  std::filesystem::path output;
  /// Named in every record; a file that another model began is not continued.
  std::string model;
  /// Questions submitted before the answer to the oldest of them is awaited.
  int32_t num_in_flight = 1;
  /// Items of this run done, and of this run in all; may be empty.
  ProgressCallback on_progress;
};

/// What a run did.
struct BatchReport {
  int64_t num_items = 0;     ///< of the whole batch
  int64_t num_resumed = 0;   ///< records that an earlier run had written
  int64_t num_answered = 0;  ///< by this run
  int64_t num_failed = 0;    ///< by this run: records with an error
  /// Guessed ahead by this run, and how many of them were right. They depend on what is answered
  /// together and are therefore in no record.
  int64_t num_draft_tokens = 0;
  int64_t num_accepted_tokens = 0;
  bool is_complete = false;  ///< false when it was stopped
};

/// Answers every item that has no record yet. The record of an item that cannot be answered (no
/// picture, a damaged one, a prompt that does not fit) has an error instead of an answer.
///
/// Throws: Error(kInvalidArgument) when the file holds answers to other items or of another model;
/// Error(kInternal) of an answer; and as BatchOutput.
BatchReport run_batch(BatchInput& input, AnswerService& service, const BatchRunOptions& options,
                      std::stop_token stop = {});

}  // namespace llava::engine
