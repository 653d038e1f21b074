// SPDX-License-Identifier: Apache-2.0
#include "llava/text/load_tokenizer.h"

#include <utility>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/text/fast_tokenizer.h"
#include "llava/text/llama_tokenizer.h"
#include "llava/text/sentencepiece_conversion.h"
#include "llava/text/sentencepiece_model.h"
#include "llava/text/tokenizer_json.h"
#include "llava/text/tokenizer_settings.h"

namespace llava::text {
namespace {

namespace fs = std::filesystem;

/// Special tokens of the classes whose configuration may leave them out.
void set_class_defaults(TokenizerSettings& settings) {
  const std::string& name = settings.tokenizer_class;
  if (settings.is_llama_class()) {
    settings.set_default("bos_token", "<s>");
    settings.set_default("eos_token", "</s>");
    settings.set_default("unk_token", "<unk>");
  } else if (name == "Qwen2Tokenizer" || name == "Qwen2TokenizerFast") {
    settings.set_default("eos_token", "<|endoftext|>");
    settings.set_default("unk_token", "<|endoftext|>");
    settings.set_default("pad_token", "<|endoftext|>");
  } else if (name.starts_with("GPT2Tokenizer") || name.starts_with("GPTNeoXTokenizer")) {
    settings.set_default("bos_token", "<|endoftext|>");
    settings.set_default("eos_token", "<|endoftext|>");
    settings.set_default("unk_token", "<|endoftext|>");
  }
}

/// Added and special tokens of the settings, in the order and with the flags of the library.
void add_settings_tokens(FastTokenizer& tokenizer, const TokenizerSettings& settings) {
  const std::vector<AddedToken> specials = settings.special_tokens();
  const auto is_special = [&](const std::string& content) {
    for (const AddedToken& token : specials) {
      if (token.content == content) return true;
    }
    return false;
  };
  std::vector<AddedToken> tokens;
  for (auto [id, token] : settings.added) {
    token.special = token.special || is_special(token.content);
    tokens.push_back(std::move(token));
  }
  tokenizer.add_tokens(tokens);
  for (const auto& [id, token] : settings.added) {
    const auto got = tokenizer.id_of(token.content);
    if (got && *got != id) {
      log_warning(
          "added_token_id",
          {{"file", settings.source}, {"token", token.content}, {"expected", id}, {"found", *got}});
    }
  }
  std::vector<AddedToken> missing;
  for (const AddedToken& token : specials) {
    if (!tokenizer.is_added(token.content)) {
      missing.push_back({.content = token.content,
                         .single_word = token.single_word,
                         .lstrip = token.lstrip,
                         .rstrip = token.rstrip,
                         .normalized = token.normalized,
                         .special = true});
    }
  }
  tokenizer.add_tokens(missing);
  for (const auto& [name, token] : settings.named) {
    if (token) tokenizer.set_named_token(name, token->content);
  }
  for (const auto& [name, token] : settings.extra_named) tokenizer.set_named_token(name, token);
}

/// The one id of a side, or none, as add_bos_token or add_eos_token says.
std::vector<int32_t> side(bool adds, std::optional<int32_t> id, std::string_view what,
                          const TokenizerSettings& settings) {
  if (!adds) return {};
  if (!id) {
    fail(ErrorCode::kBadFormat, "{}: add_{}_token is true, but there is no {}_token",
         settings.source, what, what);
  }
  return {*id};
}

/// Begin and end tokens: the settings rule for the LLaMA classes, tokenizer.json for others.
void apply_surroundings(FastTokenizer& tokenizer, const TokenizerSettings& settings,
                        bool has_tokenizer_json) {
  if (!settings.is_llama_class()) return;
  std::vector<int32_t> prefix = tokenizer.prefix();
  std::vector<int32_t> suffix = tokenizer.suffix();
  if (!has_tokenizer_json || settings.add_bos_token) {
    prefix = side(settings.add_bos_token.value_or(true), tokenizer.bos_id(), "bos", settings);
  }
  if (!has_tokenizer_json || settings.add_eos_token) {
    suffix = side(settings.add_eos_token.value_or(false), tokenizer.eos_id(), "eos", settings);
  }
  if (has_tokenizer_json && (prefix != tokenizer.prefix() || suffix != tokenizer.suffix())) {
    log_warning("tokenizer_disagrees",
                {{"file", settings.source},
                 {"about", "add_bos_token or add_eos_token against tokenizer.json"},
                 {"used", "tokenizer_config.json"}});
  }
  tokenizer.set_surroundings(std::move(prefix), std::move(suffix));
}

std::unique_ptr<Tokenizer> make_fast(FastTokenizerSpec spec, TokenizerSettings settings,
                                     bool has_tokenizer_json) {
  auto tokenizer = std::make_unique<FastTokenizer>(std::move(spec));
  set_class_defaults(settings);
  add_settings_tokens(*tokenizer, settings);
  apply_surroundings(*tokenizer, settings, has_tokenizer_json);
  return tokenizer;
}

std::unique_ptr<Tokenizer> make_from_model(const fs::path& path, TokenizerSettings settings,
                                           TokenizerForm form) {
  SentencePieceModel model = read_sentencepiece_model(path);
  if (settings.source.empty()) settings.source = path.string();
  if (settings.tokenizer_class.empty()) settings.tokenizer_class = "LlamaTokenizer";
  if (!settings.is_llama_class()) {
    fail(ErrorCode::kUnsupported,
         "{}: tokenizer class '{}' is not LLaMA's, and there is no tokenizer.json: save the "
         "tokenizer in the fast form",
         settings.source, settings.tokenizer_class);
  }
  if (form != TokenizerForm::kFast) {
    return std::make_unique<LlamaTokenizer>(std::move(model), std::move(settings));
  }
  return make_fast(convert_sentencepiece(model, path.string()), std::move(settings), false);
}

std::unique_ptr<Tokenizer> load_file(const fs::path& path, TokenizerForm form) {
  if (path.extension() != ".json") {
    // A file under its published name has its settings beside it, as in a folder.
    const bool has_own_folder = path.filename() == "tokenizer.model";
    return make_from_model(
        path, has_own_folder ? read_tokenizer_settings(path.parent_path()) : TokenizerSettings{},
        form);
  }
  if (form == TokenizerForm::kSlow) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' is a fast tokenizer, the slow form needs a tokenizer.model", path.string());
  }
  return std::make_unique<FastTokenizer>(read_tokenizer_json(path));
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& path, TokenizerForm form) {
  if (!fs::is_directory(path)) return load_file(path, form);
  const fs::path json = path / "tokenizer.json";
  const fs::path model = path / "tokenizer.model";
  if (form != TokenizerForm::kSlow && fs::exists(json)) {
    return make_fast(read_tokenizer_json(json), read_tokenizer_settings(path), true);
  }
  if (!fs::exists(model)) {
    fail(ErrorCode::kNotFound, "'{}' has no {}: copy the tokenizer files of the base model there",
         path.string(),
         form == TokenizerForm::kSlow ? "tokenizer.model" : "tokenizer.json or tokenizer.model");
  }
  return make_from_model(model, read_tokenizer_settings(path), form);
}

}  // namespace llava::text
