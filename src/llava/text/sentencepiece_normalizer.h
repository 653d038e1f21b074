// SPDX-License-Identifier: Apache-2.0
//
// What SentencePiece does to a text before it looks for pieces: character rewriting by the model's
// precompiled map, trimming, the dummy prefix and the escaping of spaces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llava/text/byte_trie.h"
#include "llava/text/sentencepiece_model.h"

namespace llava::text {

/// The precompiled character map: a double-array trie in the layout of darts-clone, followed by
/// NUL-terminated replacements that its values point to. Every access is bounds-checked.
class CharsMap {
 public:
  CharsMap() = default;

  /// Throws: Error(kBadFormat) naming `source` if the sizes inside the blob do not agree.
  CharsMap(std::string_view blob, std::string_view source);

  struct Rule {
    std::size_t length = 0;  ///< bytes of the text that are replaced; 0 when no rule applies
    std::string_view replacement;
  };
  /// The rule for the longest key that `text` starts with.
  Rule longest_rule(std::string_view text) const noexcept;

 private:
  std::vector<uint32_t> units_;
  std::string replacements_;
};

/// Threads: const, safe to share.
class SentencePieceNormalizer {
 public:
  /// User-defined pieces in `kept` pass unchanged; the trie must outlive the object.
  SentencePieceNormalizer(const NormalizerSpec& spec, bool treat_whitespace_as_suffix,
                          const ByteTrie& kept, std::string_view source);

  /// The normalized text; empty for an empty one and, when extra spaces are removed, for a text of
  /// nothing but spaces.
  std::string normalize(std::string_view text) const;

 private:
  /// What the text starts with after rewriting, and how many of its bytes that consumes.
  std::pair<std::string_view, std::size_t> next(std::string_view text) const noexcept;

  CharsMap chars_map_;
  bool add_dummy_prefix_;
  bool remove_extra_whitespaces_;
  std::string_view space_;
  bool treat_whitespace_as_suffix_;
  const ByteTrie* kept_;
};

}  // namespace llava::text
