// SPDX-License-Identifier: Apache-2.0
//
// Tokens that are cut out of a text before its model sees it: begin, end and picture tokens, with
// the matching rules of the published tokenizers library.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "llava/text/byte_trie.h"
#include "llava/text/text_normalizer.h"

namespace llava::text {

/// One added token as the files describe it.
struct AddedToken {
  std::string content;
  bool single_word = false;  ///< only between characters that are no word characters
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space behind it
  bool normalized = false;   ///< looked for in the normalized text
  bool special = false;      ///< can be skipped when decoding
};

/// A part of a text: an added token, or text between added tokens.
struct AddedSplit {
  std::optional<int32_t> id;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// Threads: const, safe to share.
class AddedVocabulary {
 public:
  /// Adds a token under `id`, or replaces the token of that id. Empty contents are ignored.
  void add(const AddedToken& token, int32_t id);

  /// Brings the matchers up to date; call after the last `add`.
  void finish(const TextNormalizer& normalizer);

  /// Cuts raw text at the tokens that are not `normalized`.
  std::vector<AddedSplit> split_raw(std::string_view text) const { return split(text, raw_); }
  /// Cuts normalized text at the others.
  std::vector<AddedSplit> split_normalized(std::string_view text) const {
    return split(text, normalized_);
  }

  std::optional<int32_t> id_of(std::string_view content) const;
  const AddedToken* find(int32_t id) const noexcept;
  bool is_special(std::string_view content) const noexcept { return special_.contains(content); }

  const std::map<int32_t, AddedToken>& tokens() const noexcept { return tokens_; }

 private:
  struct Matcher {
    ByteTrie trie;
    std::array<bool, 256> may_begin{};
  };

  std::vector<AddedSplit> split(std::string_view text, const Matcher& matcher) const;

  std::map<int32_t, AddedToken> tokens_;
  std::map<std::string, int32_t, std::less<>> ids_;
  std::set<std::string, std::less<>> special_;
  Matcher raw_;
  Matcher normalized_;
};

}  // namespace llava::text
