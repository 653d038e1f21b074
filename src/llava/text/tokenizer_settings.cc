// SPDX-License-Identifier: Apache-2.0
#include "llava/text/tokenizer_settings.h"

#include <algorithm>
#include <charconv>

#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::text {
namespace {

namespace fs = std::filesystem;

std::optional<Json> read_if_present(const fs::path& path) {
  if (!fs::exists(path)) return std::nullopt;
  return read_json_file(path);
}

/// A token given as a string or as an object with flags.
AddedToken parse_token(const Json& value, std::string_view source, std::string_view key) {
  if (value.is_string()) return {.content = value.get<std::string>(), .special = true};
  if (!value.is_object()) {
    fail(ErrorCode::kBadFormat, "{}: key '{}' is a {}, expected a string or an object", source, key,
         value.type_name());
  }
  return read_added_token(JsonObject(value, fmt::format("{}: {}", source, key)));
}

AddedToken parse_special(const Json& value, std::string_view source, std::string_view key) {
  AddedToken token = parse_token(value, source, key);
  token.special = true;
  return token;
}

int32_t check_id(int64_t id, std::string_view source, std::string_view token) {
  // Far above every vocabulary; ids index tables.
  constexpr int64_t kMaxId = 1 << 24;
  if (id < 0 || id > kMaxId) {
    fail(ErrorCode::kBadFormat, "{}: token '{}' has id {}, expected 0 to {}", source, token, id,
         kMaxId);
  }
  return static_cast<int32_t>(id);
}

void append_unique(std::vector<AddedToken>& tokens, AddedToken token) {
  const auto same = [&](const AddedToken& other) { return other.content == token.content; };
  if (std::none_of(tokens.begin(), tokens.end(), same)) tokens.push_back(std::move(token));
}

/// The special tokens that both tokenizer_config.json and special_tokens_map.json can hold.
void read_special_tokens(const Json& json, std::string_view source, TokenizerSettings& settings) {
  for (const std::string_view name : kSpecialTokenNames) {
    const auto found = json.find(name);
    if (found == json.end()) continue;
    settings.named[std::string(name)] =
        found->is_null() ? std::nullopt
                         : std::optional<AddedToken>(parse_special(*found, source, name));
  }
  if (const auto found = json.find("additional_special_tokens");
      found != json.end() && found->is_array()) {
    for (const Json& token : *found) {
      append_unique(settings.additional_special_tokens,
                    parse_special(token, source, "additional_special_tokens"));
    }
  }
  // A map of named tokens in transformers 4, a plain list in 5.
  const auto extra = json.find("extra_special_tokens");
  if (extra == json.end()) return;
  if (extra->is_object()) {
    for (const auto& [name, token] : extra->items()) {
      if (token.is_null()) continue;
      AddedToken parsed = parse_special(token, source, name);
      settings.extra_named[name] = parsed.content;
      append_unique(settings.additional_special_tokens, std::move(parsed));
    }
  } else if (extra->is_array()) {
    for (const Json& token : *extra) {
      append_unique(settings.additional_special_tokens,
                    parse_special(token, source, "extra_special_tokens"));
    }
  }
}

void read_added_tokens_decoder(const Json& value, const std::string& source,
                               TokenizerSettings& settings) {
  const JsonObject decoder(value, fmt::format("{}: added_tokens_decoder", source));
  for (const auto& [key, token] : decoder.json().items()) {
    int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size()) {
      fail(ErrorCode::kBadFormat, "{}: '{}' is no token id", decoder.source(), key);
    }
    settings.added[check_id(id, source, key)] = parse_token(token, source, key);
  }
}

void read_added_tokens_json(const Json& json, const std::string& source,
                            TokenizerSettings& settings) {
  const JsonObject object(json, source);
  const std::vector<AddedToken> specials = settings.special_tokens();
  for (const auto& [content, id] : object.json().items()) {
    if (!id.is_number_integer()) object.wrong_type(content, "a token id");
    const bool special =
        std::any_of(specials.begin(), specials.end(),
                    [&](const AddedToken& token) { return token.content == content; });
    settings.added[check_id(id.get<int64_t>(), source, content)] = {
        .content = content, .normalized = !special, .special = special};
  }
}

/// Tokens that tokenizer.json declares; they replace those of added_tokens.json.
void read_fast_added_tokens(const Json& json, const std::string& source,
                            TokenizerSettings& settings) {
  const auto tokens = json.find("added_tokens");
  if (tokens == json.end() || !tokens->is_array()) return;
  for (const Json& token : *tokens) {
    const AddedToken parsed = parse_token(token, source, "added_tokens");
    const auto id = JsonObject(token, source).get_int("id");
    if (id) settings.added[check_id(*id, source, parsed.content)] = parsed;
  }
}

/// A named token takes the flags with which it was added.
void adopt_added_flags(TokenizerSettings& settings) {
  for (auto& [name, token] : settings.named) {
    if (!token) continue;
    for (const auto& [id, added] : settings.added) {
      if (added.content == token->content) token = added;
    }
  }
}

}  // namespace

AddedToken read_added_token(const JsonObject& token) {
  const auto content = token.get_string("content");
  if (!content) token.wrong_type("content", "a string");
  const bool special = token.get_bool("special").value_or(false);
  return {.content = *content,
          .single_word = token.get_bool("single_word").value_or(false),
          .lstrip = token.get_bool("lstrip").value_or(false),
          .rstrip = token.get_bool("rstrip").value_or(false),
          .normalized = token.get_bool("normalized").value_or(!special),
          .special = special};
}

std::vector<AddedToken> TokenizerSettings::special_tokens() const {
  std::vector<AddedToken> tokens;
  for (const std::string_view name : kSpecialTokenNames) {
    const auto found = named.find(name);
    if (found != named.end() && found->second) append_unique(tokens, *found->second);
  }
  for (const AddedToken& token : additional_special_tokens) append_unique(tokens, token);
  return tokens;
}

void TokenizerSettings::set_default(std::string_view name, std::string_view content) {
  named.try_emplace(std::string(name),
                    AddedToken{.content = std::string(content), .special = true});
}

TokenizerSettings read_tokenizer_settings(const fs::path& folder) {
  TokenizerSettings settings;
  const std::string source = (folder / "tokenizer_config.json").string();
  settings.source = source;
  const Json config = read_if_present(folder / "tokenizer_config.json").value_or(Json::object());
  const JsonObject object(config, source);
  settings.tokenizer_class = object.get_string("tokenizer_class").value_or("");
  settings.add_bos_token = object.get_bool("add_bos_token");
  settings.add_eos_token = object.get_bool("add_eos_token");
  settings.legacy = object.get_bool("legacy");
  read_special_tokens(config, source, settings);
  if (const Json* decoder = object.find("added_tokens_decoder")) {
    read_added_tokens_decoder(*decoder, source, settings);
    adopt_added_flags(settings);
    return settings;
  }
  if (const auto map = read_if_present(folder / "special_tokens_map.json")) {
    const std::string path = (folder / "special_tokens_map.json").string();
    read_special_tokens(JsonObject(*map, path).json(), path, settings);
  }
  if (const auto added = read_if_present(folder / "added_tokens.json")) {
    read_added_tokens_json(*added, (folder / "added_tokens.json").string(), settings);
  }
  if (const auto fast = read_if_present(folder / "tokenizer.json")) {
    const std::string path = (folder / "tokenizer.json").string();
    read_fast_added_tokens(JsonObject(*fast, path).json(), path, settings);
  }
  adopt_added_flags(settings);
  return settings;
}

}  // namespace llava::text
