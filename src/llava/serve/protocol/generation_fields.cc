// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/protocol/generation_fields.h"

#include <charconv>

#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

using text::grammar::OutputFormat;

constexpr std::size_t kMaxStopStrings = 16;
constexpr std::size_t kMaxStopBytes = 256;
constexpr std::size_t kMaxSaltBytes = 128;
constexpr std::size_t kMaxFormatBytes = 64 * 1024;

std::optional<float> to_float(std::optional<double> value) {
  if (!value) return std::nullopt;
  return static_cast<float>(*value);
}

std::vector<std::pair<int32_t, float>> read_logit_bias(FieldReader& reader) {
  const OrderedJson* member = reader.find("logit_bias");
  if (member == nullptr) return {};
  if (!member->is_object()) reader.wrong_type("logit_bias", "an object of token ids");
  std::vector<std::pair<int32_t, float>> biases;
  FieldReader values(*member, reader.path_of("logit_bias."));
  for (const auto& [name, value] : member->items()) {
    int32_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (error != std::errc() || end != name.data() + name.size() || id < 0) {
      fail_field(reader.path_of("logit_bias"), "'{}' is no token id", name);
    }
    biases.emplace_back(id, static_cast<float>(values.get_number(name, -100, 100).value_or(0)));
  }
  return biases;
}

std::vector<std::string> read_stop(FieldReader& reader) {
  std::vector<std::string> stop = reader.get_strings("stop").value_or(std::vector<std::string>{});
  if (stop.size() > kMaxStopStrings) {
    fail_field(reader.path_of("stop"), "{} stop strings, expected at most {}", stop.size(),
               kMaxStopStrings);
  }
  std::erase(stop, "");
  for (const std::string& each : stop) {
    if (each.size() > kMaxStopBytes) {
      fail_field(reader.path_of("stop"), "a stop string of {} bytes, expected at most {}",
                 each.size(), kMaxStopBytes);
    }
  }
  return stop;
}

/// A schema as it was sent: an object, or the text of one.
std::string schema_text(const OrderedJson& schema) {
  return schema.is_string() ? schema.get<std::string>() : schema.dump();
}

OutputFormat json_format(OutputFormat::Kind kind, std::string text, bool is_strict) {
  return {.kind = kind, .text = std::move(text), .choices = {}, .is_strict = is_strict};
}

std::optional<OutputFormat> read_response_format(FieldReader& reader) {
  const OrderedJson* member = reader.find("response_format");
  if (member == nullptr) return std::nullopt;
  FieldReader format(*member, reader.path_of("response_format."));
  const std::string type = format.get_string("type").value_or("");
  if (type == "text") return std::nullopt;
  if (type == "json_object") {
    return json_format(OutputFormat::Kind::kJsonObject, {}, true);
  }
  if (type != "json_schema") {
    fail_field(format.path_of("type"), "expected text, json_object or json_schema, found '{}'",
               type);
  }
  const OrderedJson* wrapper = format.find("json_schema");
  if (wrapper == nullptr) fail_field(format.path_of("json_schema"), "is missing");
  FieldReader named(*wrapper, format.path_of("json_schema."));
  const OrderedJson* schema = named.find("schema");
  if (schema == nullptr) fail_field(named.path_of("schema"), "is missing");
  return json_format(OutputFormat::Kind::kJsonSchema, schema_text(*schema),
                     named.get_bool("strict").value_or(false));
}

/// The names by which vLLM, SGLang and llama.cpp know output formats.
std::optional<OutputFormat> read_format_alias(FieldReader& reader) {
  using Kind = OutputFormat::Kind;
  static constexpr std::pair<std::string_view, Kind> kTexts[] = {{"guided_regex", Kind::kRegex},
                                                                 {"regex", Kind::kRegex},
                                                                 {"guided_grammar", Kind::kGbnf},
                                                                 {"ebnf", Kind::kGbnf},
                                                                 {"grammar", Kind::kGbnf}};
  for (const std::string_view name : {"guided_json", "json_schema"}) {
    const OrderedJson* schema = reader.find(name);
    if (schema == nullptr) continue;
    if (!schema->is_object() && !schema->is_string()) reader.wrong_type(name, "a JSON schema");
    return json_format(Kind::kJsonSchema, schema_text(*schema), true);
  }
  for (const auto& [name, kind] : kTexts) {
    if (const auto text = reader.get_string(name)) return json_format(kind, *text, true);
  }
  if (reader.has("guided_choice")) {
    return OutputFormat{.kind = Kind::kChoice,
                        .text = {},
                        .choices = *reader.get_strings("guided_choice"),
                        .is_strict = true};
  }
  return std::nullopt;
}

std::optional<OutputFormat> read_format(FieldReader& reader) {
  std::optional<OutputFormat> format = read_response_format(reader);
  const std::optional<OutputFormat> alias = read_format_alias(reader);
  if (!format) format = alias;
  if (format && format->text.size() > kMaxFormatBytes) {
    throw ApiError(400, "invalid_schema",
                   fmt::format("the output format has {} bytes, expected at most {}",
                               format->text.size(), kMaxFormatBytes));
  }
  return format;
}

void read_streaming(FieldReader& reader, GenerationFields& fields) {
  fields.is_streamed = reader.get_bool("stream").value_or(false);
  const OrderedJson* member = reader.find("stream_options");
  if (member == nullptr) return;
  if (!fields.is_streamed) {
    fail_field(reader.path_of("stream_options"), "is for requests with \"stream\": true");
  }
  FieldReader options(*member, reader.path_of("stream_options."));
  fields.includes_usage = options.get_bool("include_usage").value_or(false);
  fields.has_continuous_usage = options.get_bool("continuous_usage_stats").value_or(false);
}

}  // namespace

GenerationFields read_generation_fields(FieldReader& reader, const GenerationLimits& limits) {
  GenerationFields fields;
  const auto get_int32 = [&](std::string_view name, int32_t low, int32_t high) {
    const auto value = reader.get_int(name, low, high);
    return value ? std::optional<int32_t>(static_cast<int32_t>(*value)) : std::nullopt;
  };
  const auto max_completion_tokens = get_int32("max_completion_tokens", 1, INT32_MAX);
  const auto max_tokens = get_int32("max_tokens", 1, INT32_MAX);
  fields.max_tokens = max_completion_tokens ? max_completion_tokens : max_tokens;
  fields.temperature = to_float(reader.get_number("temperature", 0, 2));
  fields.top_p = to_float(reader.get_number("top_p", 0, 1));
  fields.top_k = get_int32("top_k", -1, INT32_MAX);
  fields.min_p = to_float(reader.get_number("min_p", 0, 1));
  fields.repetition_penalty = to_float(reader.get_number("repetition_penalty", 0.01, 100));
  fields.presence_penalty =
      static_cast<float>(reader.get_number("presence_penalty", -2, 2).value_or(0));
  fields.frequency_penalty =
      static_cast<float>(reader.get_number("frequency_penalty", -2, 2).value_or(0));
  fields.logit_bias = read_logit_bias(reader);
  if (const auto seed = reader.get_int("seed", INT64_MIN, INT64_MAX)) {
    fields.seed = static_cast<uint64_t>(*seed);
  }
  fields.stop = read_stop(reader);
  fields.stop_token_ids = reader.get_ids("stop_token_ids").value_or(std::vector<int32_t>{});
  fields.min_tokens = get_int32("min_tokens", 0, INT32_MAX).value_or(0);
  fields.ignore_eos = reader.get_bool("ignore_eos").value_or(false);
  fields.includes_stop_string = reader.get_bool("include_stop_str_in_output").value_or(false);
  fields.skips_special_tokens = reader.get_bool("skip_special_tokens").value_or(true);
  fields.num_choices = get_int32("n", 1, limits.max_choices).value_or(1);
  fields.priority = get_int32("priority", -1000, 1000).value_or(0);
  fields.cache_salt = reader.get_string("cache_salt").value_or("");
  if (fields.cache_salt.size() > kMaxSaltBytes) {
    fail_field(reader.path_of("cache_salt"), "{} bytes, expected at most {}",
               fields.cache_salt.size(), kMaxSaltBytes);
  }
  fields.format = read_format(reader);
  read_streaming(reader, fields);
  fields.has_timings = reader.get_bool("timings").value_or(false);
  reader.ignore({"model", "user", "metadata", "store", "service_tier", "parallel_tool_calls",
                 "reasoning_effort", "stream_options"});
  return fields;
}

}  // namespace llava::serve
