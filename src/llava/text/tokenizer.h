// SPDX-License-Identifier: Apache-2.0
//
// The interface of every tokenizer, whatever file it came from.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llava::text {

/// Text to token ids and back.
///
/// Threads: const, safe to share.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids of `text`. With `add_special`, begin and end tokens are added as the tokenizer's own
  /// configuration says; added tokens inside the text (such as "</s>") become their ids either way.
  /// Invalid UTF-8 is replaced by U+FFFD first.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special = true) const = 0;
  /// As `encode`, of a text with guards in it (token_guard.h): they keep added tokens from being
  /// found and have no ids themselves. The default is for tokenizers that find none in a text.
  virtual std::vector<int32_t> encode_guarded(std::string_view text,
                                              bool add_special = true) const {
    return encode(text, add_special);
  }

  /// Text of `ids`, exactly as the published tokenizer's decode without clean-up. With
  /// `skip_special`, ids of the special set are dropped.
  ///
  /// Throws: Error(kInvalidArgument) naming the id and the vocabulary size if one is out of range.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special = false) const = 0;

  /// Number of ids including added tokens, `len(tokenizer)` in the published library.
  virtual int32_t size() const = 0;
  /// Id of a token (a piece or an added token) by its exact string.
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;
  /// The exact string of one id, for messages and logprobs.
  virtual std::string token_text(int32_t id) const = 0;
  virtual bool is_special(int32_t id) const = 0;
  /// The exact strings of all special tokens.
  virtual std::vector<std::string> special_tokens() const { return {}; }

  /// The bytes that a token adds to a text, also those that are no whole character. `is_first`: as
  /// the first token of a text, where some tokenizers drop a space. Nothing for special tokens, and
  /// for those whose text depends on what is around them. The default is for tokenizers that decode
  /// each token by itself.
  virtual std::optional<std::string> token_bytes(int32_t id, bool /*is_first*/) const {
    if (is_special(id)) return std::nullopt;
    return decode({&id, 1});
  }

  virtual std::optional<int32_t> bos_id() const = 0;
  virtual std::optional<int32_t> eos_id() const = 0;
  virtual std::optional<int32_t> pad_id() const = 0;
  /// Named special tokens ("bos_token", "eos_token", "unk_token", "pad_token", ...) by their
  /// string, as chat templates use them; empty when not set.
  virtual std::string named_token(std::string_view name) const = 0;
  /// True if encode(..., add_special) puts bos_id() in front.
  virtual bool adds_bos() const = 0;

  /// Appends a token to the special set if the vocabulary lacks it; returns its id either way.
  /// Used while a checkpoint is opened ("<im_patch>", "<im_start>", "<im_end>"), never afterwards.
  virtual int32_t add_special_token(std::string_view token) = 0;
};

}  // namespace llava::text
