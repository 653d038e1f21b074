// SPDX-License-Identifier: Apache-2.0
//
// A tokenizer of made-up words: token 7 is "7 ". For tests of what goes on between requests.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llava/text/tokenizer.h"

namespace llava::engine {

class FakeTokenizer : public text::Tokenizer {
 public:
  /// From this id on, tokens are the single characters of numbers.
  static constexpr int32_t kFirstCharacter = 400;

  explicit FakeTokenizer(int32_t size) : size_(size) {}

  std::vector<int32_t> encode(std::string_view, bool) const override { return {}; }
  std::string decode(std::span<const int32_t> ids, bool) const override {
    std::string text;
    for (const int32_t id : ids) text += token_text(id);
    return text;
  }
  int32_t size() const override { return size_; }
  std::optional<int32_t> id_of(std::string_view) const override { return std::nullopt; }
  std::string token_text(int32_t id) const override {
    constexpr std::string_view kCharacters = "0123456789 ";
    const int32_t character = id - kFirstCharacter;
    if (character >= 0 && character < static_cast<int32_t>(kCharacters.size())) {
      return {kCharacters[static_cast<std::size_t>(character)]};
    }
    return std::to_string(id) + " ";
  }
  bool is_special(int32_t) const override { return false; }
  std::optional<int32_t> bos_id() const override { return std::nullopt; }
  std::optional<int32_t> eos_id() const override { return std::nullopt; }
  std::optional<int32_t> pad_id() const override { return std::nullopt; }
  std::string named_token(std::string_view) const override { return {}; }
  bool adds_bos() const override { return false; }
  int32_t add_special_token(std::string_view) override { return 0; }

 private:
  int32_t size_;
};

}  // namespace llava::engine
