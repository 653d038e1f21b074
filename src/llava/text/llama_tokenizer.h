// SPDX-License-Identifier: Apache-2.0
//
// The slow LLaMA tokenizer of the published library on top of a SentencePiece model, in both of its
// dialects ("legacy" true and false).
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "llava/text/byte_trie.h"
#include "llava/text/sentencepiece_processor.h"
#include "llava/text/tokenizer.h"
#include "llava/text/tokenizer_settings.h"

namespace llava::text {

/// Threads: const, safe to share.
class LlamaTokenizer final : public Tokenizer {
 public:
  /// Settings that are absent take the class's defaults: "<s>", "</s>", "<unk>", a begin token, no
  /// end token, legacy.
  ///
  /// Throws: Error(kBadFormat) if an added token has no place in the vocabulary.
  LlamaTokenizer(SentencePieceModel model, TokenizerSettings settings);

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    return encode_text(text, add_special, /*has_guards=*/false);
  }
  std::vector<int32_t> encode_guarded(std::string_view text, bool add_special) const override {
    return encode_text(text, add_special, /*has_guards=*/true);
  }
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override;
  int32_t size() const override { return size_; }
  std::optional<int32_t> id_of(std::string_view token) const override;
  std::string token_text(int32_t id) const override;
  bool is_special(int32_t id) const override { return special_ids_.contains(id); }
  std::vector<std::string> special_tokens() const override {
    return {specials_.begin(), specials_.end()};
  }
  std::optional<std::string> token_bytes(int32_t id, bool is_first) const override;
  std::optional<int32_t> bos_id() const override { return named_id("bos_token"); }
  std::optional<int32_t> eos_id() const override { return named_id("eos_token"); }
  std::optional<int32_t> pad_id() const override { return named_id("pad_token"); }
  std::string named_token(std::string_view name) const override;
  bool adds_bos() const override { return adds_bos_ && bos_id().has_value(); }
  int32_t add_special_token(std::string_view token) override;

 private:
  int32_t num_pieces() const noexcept;
  void add_tokens(const std::vector<AddedToken>& tokens);
  void refresh();
  std::optional<int32_t> named_id(std::string_view name) const;
  std::vector<int32_t> encode_text(std::string_view text, bool add_special, bool has_guards) const;
  std::vector<std::string> split_on_added(std::string_view text) const;
  void append_segment(std::string_view segment, std::vector<int32_t>& ids) const;
  std::string join_pieces(std::vector<std::string_view> pieces) const;

  bool legacy_;
  bool adds_bos_;
  bool adds_eos_;
  TokenizerSettings settings_;
  SentencePieceProcessor pieces_;
  std::string unk_token_;
  std::size_t unk_token_length_ = 0;
  std::map<int32_t, AddedToken> added_;
  std::map<std::string, int32_t, std::less<>> added_ids_;
  // Derived from the above by refresh().
  ByteTrie added_trie_;
  std::set<std::string, std::less<>> specials_;
  std::set<int32_t> special_ids_;
  std::set<std::string, std::less<>> separators_;  ///< added tokens that cut decoded text
  int32_t size_ = 0;
};

}  // namespace llava::text
