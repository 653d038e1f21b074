// SPDX-License-Identifier: Apache-2.0
#include "llava/text/pre_tokenizer.h"

#include <utility>

#include "llava/text/byte_alphabet.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

struct Range {
  std::size_t begin;
  std::size_t end;
  bool is_match;
};

/// The whole text as alternating gaps and matches.
std::vector<Range> cover(const std::vector<RegexPattern::Match>& matches, std::size_t size,
                         bool invert) {
  std::vector<Range> ranges;
  ranges.reserve(2 * matches.size() + 1);
  std::size_t at = 0;
  for (const auto& match : matches) {
    if (match.begin > at) ranges.push_back({at, match.begin, invert});
    ranges.push_back({match.begin, match.end, !invert});
    at = match.end;
  }
  if (at < size) ranges.push_back({at, size, invert});
  return ranges;
}

/// Joins each match to the gap before it.
std::vector<Range> merge_with_previous(const std::vector<Range>& ranges) {
  std::vector<Range> merged;
  bool previous_match = false;
  for (const Range& range : ranges) {
    if (range.is_match && !previous_match && !merged.empty()) {
      merged.back().end = range.end;
    } else {
      merged.push_back(range);
    }
    previous_match = range.is_match;
  }
  return merged;
}

std::vector<Range> merge_with_next(const std::vector<Range>& ranges) {
  std::vector<Range> merged;
  bool previous_match = false;
  for (auto range = ranges.rbegin(); range != ranges.rend(); ++range) {
    if (range->is_match && !previous_match && !merged.empty()) {
      merged.back().begin = range->begin;
    } else {
      merged.push_back(*range);
    }
    previous_match = range->is_match;
  }
  return {merged.rbegin(), merged.rend()};
}

std::vector<Range> merge_contiguous(const std::vector<Range>& ranges) {
  std::vector<Range> merged;
  bool previous_match = false;
  for (const Range& range : ranges) {
    if (range.is_match == previous_match && !merged.empty()) {
      merged.back().end = range.end;
    } else {
      merged.push_back(range);
    }
    previous_match = range.is_match;
  }
  return merged;
}

std::vector<Range> arrange(std::vector<Range> ranges, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kIsolated:
      return ranges;
    case SplitBehavior::kRemoved:
      std::erase_if(ranges, [](const Range& range) { return range.is_match; });
      return ranges;
    case SplitBehavior::kMergedWithPrevious:
      return merge_with_previous(ranges);
    case SplitBehavior::kMergedWithNext:
      return merge_with_next(ranges);
    case SplitBehavior::kContiguous:
      return merge_contiguous(ranges);
  }
  return ranges;
}

void append_ranges(std::vector<TextPiece>& result, const TextPiece& piece,
                   const std::vector<Range>& ranges) {
  for (const Range& range : ranges) {
    if (range.begin == range.end) continue;
    result.push_back({piece.text.substr(range.begin, range.end - range.begin),
                      piece.at_start && range.begin == 0});
  }
}

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(std::vector<PreTokenizerPtr> steps) : steps_(std::move(steps)) {}
  void apply(std::vector<TextPiece>& pieces) const override {
    for (const auto& step : steps_) step->apply(pieces);
  }

 private:
  std::vector<PreTokenizerPtr> steps_;
};

class Split final : public PreTokenizer {
 public:
  Split(RegexPattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void apply(std::vector<TextPiece>& pieces) const override {
    std::vector<TextPiece> result;
    for (const TextPiece& piece : pieces) {
      append_ranges(
          result, piece,
          arrange(cover(pattern_.find_all(piece.text), piece.text.size(), invert_), behavior_));
    }
    pieces = std::move(result);
  }

 private:
  RegexPattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class Metaspace final : public PreTokenizer {
 public:
  Metaspace(std::string replacement, PrependScheme scheme, bool split)
      : replacement_(std::move(replacement)),
        pattern_(RegexPattern::literal(replacement_)),
        scheme_(scheme),
        split_(split) {}

  void apply(std::vector<TextPiece>& pieces) const override {
    std::vector<TextPiece> result;
    for (TextPiece& piece : pieces) {
      piece.text = replace_all(piece.text, " ", replacement_);
      const bool prepends =
          scheme_ == PrependScheme::kAlways || (scheme_ == PrependScheme::kFirst && piece.at_start);
      if (prepends && !piece.text.starts_with(replacement_)) piece.text.insert(0, replacement_);
      if (!split_) {
        result.push_back(std::move(piece));
        continue;
      }
      append_ranges(
          result, piece,
          merge_with_next(cover(pattern_.find_all(piece.text), piece.text.size(), false)));
    }
    pieces = std::move(result);
  }

 private:
  std::string replacement_;
  RegexPattern pattern_;
  PrependScheme scheme_;
  bool split_;
};

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex)
      : words_(use_regex ? make_split(RegexPattern(kGpt2Pattern, "ByteLevel"),
                                      SplitBehavior::kIsolated, false)
                         : nullptr),
        add_prefix_space_(add_prefix_space) {}

  void apply(std::vector<TextPiece>& pieces) const override {
    if (add_prefix_space_) {
      for (TextPiece& piece : pieces) {
        if (!piece.text.starts_with(' ')) piece.text.insert(piece.text.begin(), ' ');
      }
    }
    if (words_) words_->apply(pieces);
    for (TextPiece& piece : pieces) piece.text = to_byte_alphabet(piece.text);
  }

 private:
  PreTokenizerPtr words_;
  bool add_prefix_space_;
};

}  // namespace

PreTokenizerPtr make_sequence(std::vector<PreTokenizerPtr> steps) {
  return std::make_shared<Sequence>(std::move(steps));
}

PreTokenizerPtr make_split(RegexPattern pattern, SplitBehavior behavior, bool invert) {
  return std::make_shared<Split>(std::move(pattern), behavior, invert);
}

PreTokenizerPtr make_digits(bool individual) {
  return make_split(RegexPattern("\\p{N}", "Digits"),
                    individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false);
}

PreTokenizerPtr make_metaspace(std::string replacement, PrependScheme scheme, bool split) {
  return std::make_shared<Metaspace>(std::move(replacement), scheme, split);
}

PreTokenizerPtr make_byte_level(bool add_prefix_space, bool use_regex) {
  return std::make_shared<ByteLevel>(add_prefix_space, use_regex);
}

}  // namespace llava::text
