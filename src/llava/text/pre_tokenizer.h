// SPDX-License-Identifier: Apache-2.0
//
// The pre-tokenizers of tokenizer.json: they cut a normalized text into the words that byte-pair
// merging never crosses.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "llava/text/regex_pattern.h"

namespace llava::text {

/// A word, or the text before it is cut.
struct TextPiece {
  std::string text;
  bool at_start = false;  ///< begins at offset 0 of the whole input
};

/// One step.
///
/// Threads: const, safe to share.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Replaces the pieces by the pieces they are cut into; none is empty.
  virtual void apply(std::vector<TextPiece>& pieces) const = 0;
};

using PreTokenizerPtr = std::shared_ptr<const PreTokenizer>;

/// What becomes of the matches of a pattern.
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// Where Metaspace puts its symbol in front of a piece.
enum class PrependScheme { kAlways, kFirst, kNever };

PreTokenizerPtr make_sequence(std::vector<PreTokenizerPtr> steps);

/// Cuts at the matches of a pattern; with `invert`, what lies between them counts as match.
PreTokenizerPtr make_split(RegexPattern pattern, SplitBehavior behavior, bool invert);

/// Cuts out numeric characters (N of the Unicode categories), one by one or in runs.
PreTokenizerPtr make_digits(bool individual);

/// Replaces spaces by `replacement` and cuts in front of each, if `split`.
PreTokenizerPtr make_metaspace(std::string replacement, PrependScheme scheme, bool split);

/// Writes the text in the byte alphabet, after cutting it by the GPT-2 pattern if `use_regex`.
PreTokenizerPtr make_byte_level(bool add_prefix_space, bool use_regex);

/// The word pattern of GPT-2.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace llava::text
