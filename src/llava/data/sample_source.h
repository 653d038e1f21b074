// SPDX-License-Identifier: Apache-2.0
//
// SampleSource: samples of a file by number, and what is done about those that cannot be made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/guarded.h"
#include "llava/data/conversation_file.h"
#include "llava/data/sample_maker.h"

namespace llava::data {

/// --on_bad_sample
enum class BadSamplePolicy : uint8_t {
  kFail,        ///< end the run, naming the sample
  kSkip,        ///< leave it out: its batch is smaller, but never empty
  kSubstitute,  ///< take the next good sample of the file that has a picture if this one has
};

/// A sample that could not be made.
struct BadSample {
  int64_t index = 0;
  std::string reason;  ///< with the record's id and, of pictures, the path
};

/// Samples in a row that may be bad before a substitute is given up.
inline constexpr int64_t kMostSubstitutes = 100;

/// Threads: safe. Keeps references to its file and maker.
class SampleSource {
 public:
  SampleSource(const ConversationFile& file, const SampleMaker& maker, BadSamplePolicy policy);

  /// The sample of this number, ready for a batch (cut_to_length at model_max_length).
  ///
  /// With kSkip, nothing for a bad one; with kSubstitute, another: which one depends on the file
  /// alone. Each bad sample is counted every time it is asked for, and logged once.
  /// Throws: with kFail, what SampleMaker::make throws; with kSubstitute Error(kBadFormat) after
  /// kMostSubstitutes; always what is no fault of the sample (memory, the program itself).
  std::optional<Sample> get(int64_t index);
  /// As `get` with kSubstitute, for a batch that has nothing else.
  Sample substitute(int64_t index);

  BadSamplePolicy policy() const noexcept { return policy_; }
  /// Bad samples met so far, each once, in the order of the file.
  std::vector<BadSample> bad_samples() const;
  /// How often a bad sample was left out or replaced.
  int64_t num_replaced() const;

 private:
  struct Known {
    std::vector<BadSample> samples;  ///< by index
    int64_t num_replaced = 0;
  };

  Sample make(int64_t index) const;
  void note(int64_t index, const Error& error);

  const ConversationFile& file_;
  const SampleMaker& maker_;
  BadSamplePolicy policy_;
  Guarded<Known> bad_;
};

}  // namespace llava::data
