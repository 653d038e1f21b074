// SPDX-License-Identifier: Apache-2.0
//
// Answers of the model in training to a few questions: a run's predictions.jsonl.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llava/core/json.h"

namespace llava::train_report {

/// What was answered after so many steps.
struct PredictedAnswer {
  uint64_t step = 0;
  std::string answer;
  bool equals_reference = false;  ///< but for white space around it
};

/// One question, and its answers as training went on.
struct Prediction {
  std::string sample;               ///< id or place in the data
  std::vector<std::string> images;  ///< paths as written
  std::string prompt;
  std::string reference;  ///< the expected answer; may be empty
  std::vector<PredictedAnswer> answers;
};

/// Questions in the order in which they were asked first.
class Predictions {
 public:
  /// Adds a line: {"step", "sample", "image", "prompt", "reference", "answer"}. `image` may be
  /// absent, null, a path or a list of paths; `reference` may be absent. Lines that agree in
  /// sample, pictures and prompt are one question; of two answers after the same step the later one
  /// stays.
  ///
  /// Throws: Error(kBadFormat) naming the key for another form.
  void add(const Json& line);

  const std::vector<Prediction>& all() const { return all_; }

 private:
  std::vector<Prediction> all_;
};

}  // namespace llava::train_report
