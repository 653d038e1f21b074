// SPDX-License-Identifier: Apache-2.0
//
// The tokenizer that tokenizer.json describes: added tokens, normalizer, pre-tokenizer, BPE model,
// the tokens put around a text, decoder. GGUF vocabularies and converted SentencePiece models use
// it too.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "llava/text/added_vocabulary.h"
#include "llava/text/bpe_model.h"
#include "llava/text/pre_tokenizer.h"
#include "llava/text/text_normalizer.h"
#include "llava/text/token_decoder.h"
#include "llava/text/tokenizer.h"

namespace llava::text {

/// Everything a fast tokenizer is made of.
struct FastTokenizerSpec {
  std::string source;  ///< names the file in messages
  BpeModelSpec model;
  std::vector<AddedToken> added_tokens;  ///< in order; ids follow from the vocabulary
  TextNormalizer normalizer;
  PreTokenizerPtr pre_tokenizer;  ///< may be null
  TokenDecoder decoder;
  /// Tokens in front of and behind a text when special tokens are added.
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
  /// "bos_token", "eos_token", ... by name.
  std::map<std::string, std::string, std::less<>> named_tokens;
};

/// Threads: const, safe to share.
class FastTokenizer final : public Tokenizer {
 public:
  /// Throws: Error(kBadFormat) naming the source for an inconsistent vocabulary.
  explicit FastTokenizer(FastTokenizerSpec spec);

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    return encode_text(text, add_special, /*has_guards=*/false);
  }
  std::vector<int32_t> encode_guarded(std::string_view text, bool add_special) const override {
    return encode_text(text, add_special, /*has_guards=*/true);
  }
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override;
  int32_t size() const override;
  std::optional<int32_t> id_of(std::string_view token) const override;
  std::string token_text(int32_t id) const override;
  bool is_special(int32_t id) const override;
  std::vector<std::string> special_tokens() const override;
  std::optional<std::string> token_bytes(int32_t id, bool is_first) const override;
  std::optional<int32_t> bos_id() const override { return named_id("bos_token"); }
  std::optional<int32_t> eos_id() const override { return named_id("eos_token"); }
  std::optional<int32_t> pad_id() const override { return named_id("pad_token"); }
  std::string named_token(std::string_view name) const override;
  bool adds_bos() const override;
  int32_t add_special_token(std::string_view token) override;

  /// Adds or changes tokens as the published library's add_tokens does: a token that the vocabulary
  /// has keeps its id, others are numbered upward. Used while a tokenizer is put together.
  void add_tokens(const std::vector<AddedToken>& tokens);
  /// Replaces the tokens put around a text.
  void set_surroundings(std::vector<int32_t> prefix, std::vector<int32_t> suffix);
  void set_named_token(std::string name, std::string token);

  /// True for added tokens, false for tokens of the model's own vocabulary.
  bool is_added(std::string_view token) const { return added_.id_of(token).has_value(); }
  const std::vector<int32_t>& prefix() const noexcept { return prefix_; }
  const std::vector<int32_t>& suffix() const noexcept { return suffix_; }

 private:
  std::optional<int32_t> named_id(std::string_view name) const;
  int32_t id_limit() const;
  std::vector<int32_t> encode_text(std::string_view text, bool add_special, bool has_guards) const;
  void append_segment(std::string_view text, bool at_start, bool has_guards,
                      std::vector<int32_t>& ids) const;

  BpeModel model_;
  TextNormalizer normalizer_;
  PreTokenizerPtr pre_tokenizer_;
  TokenDecoder decoder_;
  AddedVocabulary added_;
  std::vector<int32_t> prefix_;
  std::vector<int32_t> suffix_;
  std::map<std::string, std::string, std::less<>> named_tokens_;
};

}  // namespace llava::text
