// SPDX-License-Identifier: Apache-2.0
#include "llava/text/tokenizer_json_components.h"

#include <utility>

#include "llava/core/error.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

/// One component: its object and its type.
class Component {
 public:
  Component(const Json& value, std::string_view kind, std::string_view source)
      : object_(value, fmt::format("{}: {}", source, kind)),
        type_(object_.get_string("type").value_or("")) {
    if (type_.empty()) object_.wrong_type("type", "the name of a component");
  }

  const JsonObject& object() const { return object_; }
  const std::string& type() const { return type_; }
  const std::string& source() const { return object_.source(); }

  std::string text(std::string_view key) const {
    const auto value = object_.get_string(key);
    if (!value) object_.wrong_type(key, "a string");
    return *value;
  }
  bool flag(std::string_view key, bool fallback) const {
    return object_.get_bool(key).value_or(fallback);
  }
  /// A single character.
  std::string character(std::string_view key) const {
    std::string value = text(key);
    if (value.empty() || decode_utf8(value, 0).num_bytes != value.size()) {
      object_.wrong_type(key, "one character");
    }
    return value;
  }
  const Json& list(std::string_view key) const {
    const Json* value = object_.find(key);
    if (value == nullptr || !value->is_array()) object_.wrong_type(key, "a list");
    return *value;
  }
  /// The object {"String": ...} or {"Regex": ...} under "pattern".
  RegexPattern pattern() const {
    const Json* value = object_.find("pattern");
    if (value == nullptr) object_.wrong_type("pattern", "an object");
    const JsonObject pattern(*value, source());
    if (const auto regex = pattern.get_string("Regex")) return RegexPattern(*regex, source());
    const auto literal = pattern.get_string("String");
    if (!literal) pattern.wrong_type("String", "a string, or a key 'Regex'");
    return RegexPattern::literal(*literal);
  }
  [[noreturn]] void unsupported() const {
    fail(
        ErrorCode::kUnsupported,
        "{} '{}' is not supported: use a checkpoint whose tokenizer.json is of the LLaMA, Mistral, "
        "Llama-3, Qwen2 or GPT-2 kind",
        source(), type_);
  }

 private:
  JsonObject object_;
  std::string type_;
};

void add_normalizer(const Json& value, std::string_view source, TextNormalizer& result) {
  const Component component(value, "normalizer", source);
  const std::string& type = component.type();
  if (type == "Sequence") {
    for (const Json& step : component.list("normalizers")) add_normalizer(step, source, result);
  } else if (type == "Prepend") {
    result.add(TextNormalizer::Prepend{component.text("prepend")});
  } else if (type == "Replace") {
    result.add(TextNormalizer::Replace{component.pattern(), component.text("content")});
  } else if (type == "NFC") {
    result.add(TextNormalizer::Form{UnicodeForm::kNfc});
  } else if (type == "NFD") {
    result.add(TextNormalizer::Form{UnicodeForm::kNfd});
  } else if (type == "NFKC") {
    result.add(TextNormalizer::Form{UnicodeForm::kNfkc});
  } else if (type == "NFKD") {
    result.add(TextNormalizer::Form{UnicodeForm::kNfkd});
  } else if (type == "Lowercase") {
    result.add(TextNormalizer::Lowercase{});
  } else if (type == "StripAccents") {
    result.add(TextNormalizer::StripAccents{});
  } else if (type == "Strip") {
    result.add(TextNormalizer::Strip{component.flag("strip_left", true),
                                     component.flag("strip_right", true)});
  } else {
    component.unsupported();
  }
}

SplitBehavior parse_behavior(const Component& component) {
  const std::string name = component.text("behavior");
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  fail(ErrorCode::kBadFormat, "{}: unknown behavior '{}'", component.source(), name);
}

/// "prepend_scheme", or the older flag "add_prefix_space".
PrependScheme parse_scheme(const Component& component) {
  const bool adds = component.flag("add_prefix_space", true);
  const auto name = component.object().get_string("prepend_scheme");
  if (!name) return adds ? PrependScheme::kAlways : PrependScheme::kNever;
  if (*name == "never") return PrependScheme::kNever;
  if (!adds || (*name != "always" && *name != "first")) {
    fail(ErrorCode::kBadFormat, "{}: prepend_scheme is '{}' with add_prefix_space {}",
         component.source(), *name, adds);
  }
  return *name == "always" ? PrependScheme::kAlways : PrependScheme::kFirst;
}

void add_decoder(const Json& value, std::string_view source, TokenDecoder& result) {
  const Component component(value, "decoder", source);
  const std::string& type = component.type();
  if (type == "Sequence") {
    for (const Json& step : component.list("decoders")) add_decoder(step, source, result);
  } else if (type == "Replace") {
    result.add(TokenDecoder::Replace{component.pattern(), component.text("content")});
  } else if (type == "ByteFallback") {
    result.add(TokenDecoder::ByteFallback{});
  } else if (type == "Fuse") {
    result.add(TokenDecoder::Fuse{});
  } else if (type == "ByteLevel") {
    result.add(TokenDecoder::ByteLevel{});
  } else if (type == "Metaspace") {
    result.add(TokenDecoder::Metaspace{component.character("replacement"),
                                       parse_scheme(component) != PrependScheme::kNever});
  } else if (type == "Strip") {
    const auto start = component.object().get_int("start").value_or(0);
    const auto stop = component.object().get_int("stop").value_or(0);
    if (start < 0 || stop < 0) component.object().wrong_type("start", "a count");
    result.add(TokenDecoder::Strip{component.character("content"), static_cast<std::size_t>(start),
                                   static_cast<std::size_t>(stop)});
  } else {
    component.unsupported();
  }
}

/// Ids of one entry of "special_tokens" of a TemplateProcessing.
std::vector<int32_t> template_ids(const Component& component, std::string_view name) {
  const Json* all = component.object().find("special_tokens");
  if (all == nullptr) component.object().wrong_type("special_tokens", "an object");
  const JsonObject tokens(*all, component.source());
  const Json* token = tokens.find(name);
  if (token == nullptr) {
    fail(ErrorCode::kBadFormat, "{}: the template names '{}', which special_tokens lacks",
         component.source(), name);
  }
  const auto ids = JsonObject(*token, component.source()).get_int_list("ids");
  std::vector<int32_t> result;
  for (const int64_t id : ids.value_or(std::vector<int64_t>())) {
    if (id < 0 || id > INT32_MAX) {
      fail(ErrorCode::kBadFormat, "{}: token '{}' has the id {}", component.source(), name, id);
    }
    result.push_back(static_cast<int32_t>(id));
  }
  return result;
}

Surroundings parse_template(const Component& component) {
  Surroundings result;
  bool seen_text = false;
  for (const Json& item : component.list("single")) {
    const JsonObject entry(item, component.source());
    if (entry.has("Sequence")) {
      if (seen_text) {
        fail(ErrorCode::kUnsupported, "{}: a template that repeats the text", component.source());
      }
      seen_text = true;
      continue;
    }
    const Json* special = entry.find("SpecialToken");
    if (special == nullptr) entry.wrong_type("SpecialToken", "an object, or a key 'Sequence'");
    const auto name = JsonObject(*special, component.source()).get_string("id");
    if (!name) entry.wrong_type("SpecialToken", "an object with the key 'id'");
    std::vector<int32_t>& side = seen_text ? result.suffix : result.prefix;
    const std::vector<int32_t> ids = template_ids(component, *name);
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (!seen_text) {
    fail(ErrorCode::kBadFormat, "{}: a template without the text", component.source());
  }
  return result;
}

}  // namespace

TextNormalizer parse_normalizer(const Json& value, std::string_view source) {
  TextNormalizer result;
  if (!value.is_null()) add_normalizer(value, source, result);
  return result;
}

PreTokenizerPtr parse_pre_tokenizer(const Json& value, std::string_view source) {
  if (value.is_null()) return nullptr;
  const Component component(value, "pre_tokenizer", source);
  const std::string& type = component.type();
  if (type == "Sequence") {
    std::vector<PreTokenizerPtr> steps;
    for (const Json& step : component.list("pretokenizers")) {
      steps.push_back(parse_pre_tokenizer(step, source));
      if (!steps.back()) component.object().wrong_type("pretokenizers", "a list without null");
    }
    return make_sequence(std::move(steps));
  }
  if (type == "ByteLevel") {
    return make_byte_level(component.flag("add_prefix_space", true),
                           component.flag("use_regex", true));
  }
  if (type == "Split") {
    return make_split(component.pattern(), parse_behavior(component),
                      component.flag("invert", false));
  }
  if (type == "Digits") return make_digits(component.flag("individual_digits", false));
  if (type == "Metaspace") {
    return make_metaspace(component.character("replacement"), parse_scheme(component),
                          component.flag("split", true));
  }
  component.unsupported();
}

TokenDecoder parse_decoder(const Json& value, std::string_view source) {
  TokenDecoder result;
  if (!value.is_null()) add_decoder(value, source, result);
  return result;
}

Surroundings parse_post_processor(const Json& value, std::string_view source) {
  if (value.is_null()) return {};
  const Component component(value, "post_processor", source);
  const std::string& type = component.type();
  if (type == "ByteLevel") return {};  // it only trims offsets
  if (type == "TemplateProcessing") return parse_template(component);
  if (type != "Sequence") component.unsupported();
  // Each step puts its tokens around what the step before it made.
  Surroundings result;
  for (const Json& step : component.list("processors")) {
    Surroundings outer = parse_post_processor(step, source);
    outer.prefix.insert(outer.prefix.end(), result.prefix.begin(), result.prefix.end());
    result.suffix.insert(result.suffix.end(), outer.suffix.begin(), outer.suffix.end());
    result.prefix = std::move(outer.prefix);
  }
  return result;
}

}  // namespace llava::text
