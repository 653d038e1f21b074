// SPDX-License-Identifier: Apache-2.0
//
// What the files beside a vocabulary say about it: tokenizer_config.json, special_tokens_map.json
// and added_tokens.json, read with the precedence of the published library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llava/text/added_vocabulary.h"

namespace llava {
class JsonObject;
}

namespace llava::text {

/// Names of special tokens in the order in which the library numbers missing ones.
inline constexpr std::string_view kSpecialTokenNames[] = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

struct TokenizerSettings {
  std::string source;           ///< names the files in messages
  std::string tokenizer_class;  ///< such as "LlamaTokenizer"; empty when not set
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> legacy;
  /// Special tokens by name; an explicit null is a key without value.
  std::map<std::string, std::optional<AddedToken>, std::less<>> named;
  std::vector<AddedToken> additional_special_tokens;
  /// Further named tokens, such as "image_token".
  std::map<std::string, std::string, std::less<>> extra_named;
  /// Added tokens by id.
  std::map<int32_t, AddedToken> added;

  /// True for the two LLaMA classes, whose begin and end tokens follow add_bos_token/add_eos_token.
  bool is_llama_class() const {
    return tokenizer_class == "LlamaTokenizer" || tokenizer_class == "LlamaTokenizerFast";
  }

  /// All special tokens in order: the named ones, then the additional ones, none twice.
  std::vector<AddedToken> special_tokens() const;

  /// Sets a named token that no file mentions.
  void set_default(std::string_view name, std::string_view content);
};

/// An added token given as an object with its text and flags.
///
/// Throws: Error(kBadFormat) naming the key.
AddedToken read_added_token(const JsonObject& token);

/// Reads the settings of a folder; missing files leave fields unset.
///
/// Throws: Error(kBadFormat) naming file and key.
TokenizerSettings read_tokenizer_settings(const std::filesystem::path& folder);

}  // namespace llava::text
