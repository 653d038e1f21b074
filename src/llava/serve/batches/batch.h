// SPDX-License-Identifier: Apache-2.0
//
// A batch of OpenAI's API: many requests in one file, answered when there is time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/json.h"

namespace llava::serve {

/// One line of a batch's input.
struct BatchLine {
  std::string custom_id;
  std::string body;  ///< of the request, as JSON
};

/// Why a file is no batch.
struct BatchError {
  std::string message;
  int64_t line = 0;  ///< from 1; 0: none
};

/// A file of lines {"custom_id", "method": "POST", "url", "body"}, or what is wrong with it.
struct BatchInput {
  std::vector<BatchLine> lines;
  std::vector<BatchError> errors;  ///< the first few
};

/// Reads a file in which every `url` has to be `endpoint`; empty lines are passed over. At most
/// 50000 lines.
BatchInput read_batch_input(std::string_view text, std::string_view endpoint);

/// Where a batch is in its life; the names are OpenAI's.
enum class BatchStatus : uint8_t { kInProgress, kCompleted, kFailed, kCancelling, kCancelled };

struct Batch {
  std::string id;
  std::string owner;
  std::string endpoint;
  std::string input_file;
  std::string output_file;  ///< empty: not yet
  std::string error_file;   ///< empty: no line failed
  OrderedJson metadata;
  BatchStatus status = BatchStatus::kInProgress;
  std::vector<BatchError> errors;
  int64_t created = 0;    ///< seconds since 1970
  int64_t cancelled = 0;  ///< when it was asked for; 0: it was not
  int64_t ended = 0;      ///< 0: not yet
  int64_t num_lines = 0;
  int64_t num_answered = 0;
  int64_t num_failed = 0;
};

/// As clients read it.
OrderedJson batch_json(const Batch& batch);

}  // namespace llava::serve
