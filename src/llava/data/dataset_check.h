// SPDX-License-Identifier: Apache-2.0
//
// Finds what would go wrong with a data set before a run does: the traps of the original, counted,
// with the samples that are in them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/progress.h"
#include "llava/core/thread_pool.h"
#include "llava/data/conversation_file.h"
#include "llava/data/picture_check.h"
#include "llava/data/sample_maker.h"

namespace llava::data {

/// What can be wrong with a sample.
enum class Trap : uint8_t {
  kBadRecord,       ///< not of the published form
  kUnknownSpeaker,  ///< a turn that is neither from human nor from gpt
  kNoAlternation,   ///< human and gpt do not take turns
  kWrongForm,       ///< cannot be used with this --version
  kPlaceholders,    ///< another number of <image> than of pictures
  kMissingPicture,
  kBadPicture,    ///< cannot be decoded
  kLongPicture,   ///< a picture takes all positions there are
  kUntrained,     ///< no label is left, or the original's arithmetic gave up
  kCut,           ///< longer than model_max_length
  kEmptyAnswer,   ///< an answer without a word
  kSpecialToken,  ///< a text is written like a special token of the tokenizer
  kDuplicate,     ///< the same pictures and turns as an earlier sample
  kTemplate,      ///< the template and the tokenizer do not go together
};
inline constexpr std::size_t kNumTraps = 14;

/// "missing_picture", as in JSON.
std::string_view trap_name(Trap trap);
/// What it is and what to do about it, in one line.
std::string_view trap_advice(Trap trap);

/// One sample in one trap.
struct Finding {
  Trap trap = Trap::kBadRecord;
  int64_t index = -1;  ///< position in the file; -1: of the data set as a whole
  std::string what;    ///< names the sample
};

/// What is checked.
struct CheckOptions {
  /// Makes labels and lengths; null: the file and its pictures alone are checked.
  const SampleMaker* maker = nullptr;
  /// The template that turns must fit, vicuna_v1 without one; with a maker, its own rules.
  DialogueRules dialogue = {};
  /// Where pictures are; with a maker, its own rules.
  PictureRules pictures;
  PictureDepth depth = PictureDepth::kDecode;
  /// Findings kept for each trap, the first in the file; all are counted.
  int64_t most_findings = 20;
  ProgressCallback progress = {};  ///< samples
};

/// Share of samples that may train nothing.
inline constexpr double kMostUntrained = 0.01;

/// What was found.
struct DataReport {
  std::string source;
  int64_t num_samples = 0;
  int64_t num_with_pictures = 0;
  int64_t num_pictures = 0;  ///< different ones; 0 when none were looked at
  int64_t num_turns = 0;
  /// With a maker positions in the model, each picture with all its rows; else words.
  bool is_in_tokens = false;
  std::vector<int32_t> lengths;  ///< of every sample; 0 where it could not be measured
  int64_t num_labels = 0;        ///< trained positions of all samples
  int64_t max_length = 0;        ///< model_max_length; 0 without a maker
  std::array<int64_t, kNumTraps> counts{};
  std::vector<Finding> findings;  ///< by trap, then by sample

  int64_t count(Trap trap) const { return counts[static_cast<std::size_t>(trap)]; }
  /// Whether a trap is one that a run must not begin with: kUntrained above kMostUntrained of the
  /// samples, any of those before it.
  bool is_error(Trap trap) const;
  /// No trap is an error.
  bool passes() const;
};

/// Checks all samples of a file. What is found does not depend on the threads.
///
/// Throws: Error(kResourceExhausted) and what is no fault of the data.   Threads: uses `pool`.
DataReport check_dataset(const ConversationFile& file, const CheckOptions& options,
                         ThreadPool& pool);

}  // namespace llava::data
