// SPDX-License-Identifier: Apache-2.0
//
// A tokenizer for tests whose ids are code points: 1 begins, 2 ends, and one more id may stand for
// pictures.
#pragma once

#include <string>
#include <vector>

#include "llava/text/tokenizer.h"
#include "llava/text/utf8.h"

namespace llava::text {

class LetterTokenizer : public Tokenizer {
 public:
  struct Options {
    bool adds_bos = false;
    std::string image_token = {};
  };
  static constexpr int32_t kImageId = 0x110000;

  explicit LetterTokenizer(Options options) : options_(std::move(options)) {}

  std::vector<int32_t> encode_guarded(std::string_view text, bool add_special) const override {
    std::vector<int32_t> ids = encode(text, add_special);
    std::erase(ids, 0xFDD0);
    return ids;
  }

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    std::vector<int32_t> ids;
    if (add_special && options_.adds_bos) ids.push_back(1);
    for (std::size_t at = 0; at < text.size();) {
      if (!options_.image_token.empty() && text.substr(at).starts_with(options_.image_token)) {
        ids.push_back(kImageId);
        at += options_.image_token.size();
        continue;
      }
      const Utf8Char c = decode_utf8(text, at);
      ids.push_back(static_cast<int32_t>(c.code_point));
      at += c.num_bytes;
    }
    return ids;
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string text;
    for (const int32_t id : ids) {
      if (!(skip_special && is_special(id))) text += token_text(id);
    }
    return text;
  }

  int32_t size() const override { return kImageId + 1; }
  std::optional<int32_t> id_of(std::string_view token) const override {
    if (!options_.image_token.empty() && token == options_.image_token) return kImageId;
    return std::nullopt;
  }
  std::string token_text(int32_t id) const override {
    if (id == kImageId) return options_.image_token;
    std::string text;
    append_utf8(text, static_cast<char32_t>(id));
    return text;
  }
  bool is_special(int32_t id) const override { return id == 1 || id == 2; }
  std::optional<int32_t> bos_id() const override { return 1; }
  std::optional<int32_t> eos_id() const override { return 2; }
  std::optional<int32_t> pad_id() const override { return std::nullopt; }
  std::string named_token(std::string_view) const override { return ""; }
  bool adds_bos() const override { return options_.adds_bos; }
  int32_t add_special_token(std::string_view) override { return kImageId; }

 private:
  Options options_;
};

}  // namespace llava::text
