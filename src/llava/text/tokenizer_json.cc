// SPDX-License-Identifier: Apache-2.0
#include "llava/text/tokenizer_json.h"

#include <utility>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/text/tokenizer_json_components.h"
#include "llava/text/tokenizer_settings.h"

namespace llava::text {
namespace {

constexpr uint64_t kMaxFileBytes = 256u << 20;

const Json& member_of(const Json& object, const char* key) {
  static const Json kNull;
  const auto found = object.find(key);
  return found != object.end() ? *found : kNull;
}

void parse_vocab(const JsonObject& model, BpeModelSpec& spec) {
  const Json* vocab = model.find("vocab");
  if (vocab == nullptr || !vocab->is_object()) model.wrong_type("vocab", "an object");
  spec.vocab.reserve(vocab->size());
  for (const auto& [token, id] : vocab->items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX) {
      fail(ErrorCode::kBadFormat, "{}: token '{}' has the id {}, expected a whole number",
           model.source(), token, to_text(id));
    }
    spec.vocab.emplace_back(token, id.get<int32_t>());
  }
}

/// A merge is "left right", or a pair since tokens may contain spaces.
void parse_merges(const JsonObject& model, BpeModelSpec& spec) {
  const Json* merges = model.find("merges");
  if (merges == nullptr || !merges->is_array()) model.wrong_type("merges", "a list");
  spec.merges.reserve(merges->size());
  for (const Json& merge : *merges) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      spec.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      continue;
    }
    const std::string text = merge.is_string() ? merge.get<std::string>() : std::string();
    const std::size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      fail(ErrorCode::kBadFormat, "{}: merge {} is {}, expected two tokens", model.source(),
           spec.merges.size(), to_text(merge));
    }
    spec.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
}

BpeModelSpec parse_model(const Json& value, std::string_view source) {
  const JsonObject model(value, fmt::format("{}: model", source));
  // The oldest files have no type; a list of merges says what they are.
  const std::string type = model.get_string("type").value_or(model.has("merges") ? "BPE" : "");
  if (type != "BPE") {
    fail(ErrorCode::kUnsupported, "{}: model type '{}' is not supported, expected BPE", source,
         type);
  }
  if (model.get_number("dropout").value_or(0) != 0) {
    fail(ErrorCode::kUnsupported, "{}: dropout makes token ids random; expected null", source);
  }
  BpeModelSpec spec;
  parse_vocab(model, spec);
  parse_merges(model, spec);
  spec.unk_token = model.get_string("unk_token").value_or("");
  spec.continuing_subword_prefix = model.get_string("continuing_subword_prefix").value_or("");
  spec.end_of_word_suffix = model.get_string("end_of_word_suffix").value_or("");
  spec.byte_fallback = model.get_bool("byte_fallback").value_or(false);
  spec.fuse_unk = model.get_bool("fuse_unk").value_or(false);
  spec.ignore_merges = model.get_bool("ignore_merges").value_or(false);
  return spec;
}

std::vector<AddedToken> parse_added_tokens(const Json& value, std::string_view source) {
  std::vector<AddedToken> tokens;
  if (value.is_null()) return tokens;
  const std::string name = fmt::format("{}: added_tokens", source);
  if (!value.is_array()) {
    fail(ErrorCode::kBadFormat, "{} is a {}, expected a list", name, value.type_name());
  }
  for (const Json& item : value) tokens.push_back(read_added_token(JsonObject(item, name)));
  return tokens;
}

}  // namespace

FastTokenizerSpec parse_tokenizer_json(std::string_view text, std::string_view source) {
  const Json json = parse_json(text, source);
  if (!json.is_object()) {
    fail(ErrorCode::kBadFormat, "{}: the file is a {}, expected an object", source,
         json.type_name());
  }
  FastTokenizerSpec spec;
  spec.source = source;
  spec.model = parse_model(member_of(json, "model"), source);
  spec.added_tokens = parse_added_tokens(member_of(json, "added_tokens"), source);
  spec.normalizer = parse_normalizer(member_of(json, "normalizer"), source);
  spec.pre_tokenizer = parse_pre_tokenizer(member_of(json, "pre_tokenizer"), source);
  spec.decoder = parse_decoder(member_of(json, "decoder"), source);
  Surroundings around = parse_post_processor(member_of(json, "post_processor"), source);
  spec.prefix = std::move(around.prefix);
  spec.suffix = std::move(around.suffix);
  return spec;
}

FastTokenizerSpec read_tokenizer_json(const std::filesystem::path& path) {
  return parse_tokenizer_json(read_file(path, kMaxFileBytes), path.string());
}

}  // namespace llava::text
