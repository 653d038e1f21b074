// SPDX-License-Identifier: Apache-2.0
//
// The BPE model of tokenizer.json on the shared merge core: a vocabulary, a ranked list of merges
// and the rules for what is in neither.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llava/text/merge_table.h"

namespace llava::text {

/// What a tokenizer.json or a GGUF file says about its model.
struct BpeModelSpec {
  std::vector<std::pair<std::string, int32_t>> vocab;
  /// By rank, lowest first.
  std::vector<std::pair<std::string, std::string>> merges;
  std::string unk_token;  ///< empty for none: unknown characters vanish
  std::string continuing_subword_prefix;
  std::string end_of_word_suffix;
  bool byte_fallback = false;
  bool fuse_unk = false;
  bool ignore_merges = false;  ///< a word that is in the vocabulary is one token
};

/// Threads: const, safe to share.
class BpeModel {
 public:
  /// `source` names the file in messages.
  ///
  /// Throws: Error(kBadFormat) for repeated or negative ids, ids far beyond the number of entries,
  /// and merges of tokens that the vocabulary lacks.
  BpeModel(const BpeModelSpec& spec, std::string_view source);

  /// Appends the ids of one word.
  void encode(std::string_view word, std::vector<int32_t>& ids) const;

  std::optional<int32_t> id_of(std::string_view token) const;
  /// The token of an id, or nothing for holes and ids outside.
  std::optional<std::string_view> token_of(int32_t id) const noexcept;
  /// Number of tokens.
  int32_t size() const noexcept { return static_cast<int32_t>(ids_.size()); }
  /// One more than the largest id.
  int32_t id_limit() const noexcept { return static_cast<int32_t>(tokens_.size()); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };

  void add_vocab(const BpeModelSpec& spec, std::string_view source);
  void add_merges(const BpeModelSpec& spec, std::string_view source);
  void add_joints(const std::vector<bool>& is_result);
  void append_symbols(std::string_view word, std::vector<Symbol>& symbols) const;
  std::optional<int32_t> char_id(std::string_view word, std::size_t at, std::size_t length) const;

  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
  std::vector<std::string_view> tokens_;  ///< into the keys of ids_; null data for holes
  std::unordered_map<char32_t, int32_t> chars_;
  std::vector<int32_t> byte_ids_;  ///< of byte pieces, -1 where missing; empty without fallback
  std::optional<int32_t> unk_id_;
  std::string prefix_;
  std::string suffix_;
  bool fuse_unk_;
  bool ignore_merges_;
  MergeTable table_;
};

}  // namespace llava::text
