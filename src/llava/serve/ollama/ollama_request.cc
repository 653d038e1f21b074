// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/ollama/ollama_request.h"

#include <utility>

#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

using text::grammar::OutputFormat;

// Ollama's own where it says nothing.
constexpr float kTemperature = 0.8f;
constexpr int32_t kTopK = 40;
constexpr float kTopP = 0.9f;

std::optional<OutputFormat> read_format(FieldReader& reader) {
  const OrderedJson* format = reader.find("format");
  if (format == nullptr || (format->is_string() && format->get_ref<const std::string&>().empty())) {
    return std::nullopt;
  }
  if (*format == "json") {
    return OutputFormat{.kind = OutputFormat::Kind::kJsonObject, .text = {}, .choices = {}};
  }
  if (!format->is_object()) reader.wrong_type("format", "\"json\" or a schema");
  return OutputFormat{
      .kind = OutputFormat::Kind::kJsonSchema, .text = format->dump(), .choices = {}};
}

GenerationFields read_options(FieldReader& reader) {
  GenerationFields fields;
  fields.temperature = kTemperature;
  fields.top_k = kTopK;
  fields.top_p = kTopP;
  fields.format = read_format(reader);
  fields.is_streamed = reader.get_bool("stream").value_or(true);
  const OrderedJson* member = reader.find("options");
  if (member == nullptr) return fields;
  FieldReader options(*member, "options.");
  const auto set = [&](const char* name, auto& target, double low, double high) {
    if (const auto value = options.get_number(name, low, high)) target = static_cast<float>(*value);
  };
  set("temperature", fields.temperature, 0, 100);
  set("top_p", fields.top_p, 0, 1);
  set("min_p", fields.min_p, 0, 1);
  set("repeat_penalty", fields.repetition_penalty, 0.01, 100);
  set("presence_penalty", fields.presence_penalty, -2, 2);
  set("frequency_penalty", fields.frequency_penalty, -2, 2);
  if (const auto top_k = options.get_int("top_k", -1, INT32_MAX)) {
    fields.top_k = static_cast<int32_t>(*top_k);
  }
  if (const auto seed = options.get_int("seed", INT64_MIN, INT64_MAX)) {
    fields.seed = static_cast<uint64_t>(*seed);
  }
  // -1 and -2: until the context is full.
  const auto num_predict = options.get_int("num_predict", -2, INT32_MAX);
  if (num_predict && *num_predict > 0) fields.max_tokens = static_cast<int32_t>(*num_predict);
  if (auto stop = options.get_strings("stop")) fields.stop = std::move(*stop);
  std::erase(fields.stop, "");
  options.get_int("num_ctx", 1, INT32_MAX);
  return fields;
}

std::string model_of(const std::string& name) { return name.substr(0, name.find(':')); }

/// A message with its pictures as parts of its content, as OpenAI has them.
OrderedJson with_parts(const OrderedJson& message, const std::string& path) {
  FieldReader reader(message, path + ".");
  const OrderedJson* images = reader.find("images");
  if (images == nullptr || (images->is_array() && images->empty())) return message;
  if (!images->is_array()) reader.wrong_type("images", "a list of pictures in base64");
  OrderedJson parts = OrderedJson::array();
  for (const OrderedJson& image : *images) {
    parts.push_back({{"type", "image"}, {"data", image}});
  }
  parts.push_back({{"type", "text"}, {"text", reader.get_string("content").value_or("")}});
  OrderedJson rewritten = message;
  rewritten["content"] = std::move(parts);
  return rewritten;
}

OllamaRequest begin(FieldReader& reader) {
  OllamaRequest request;
  request.model = reader.get_string("model").value_or("");
  if (request.model.empty()) throw ApiError(400, "missing_field", "model is required", "model");
  request.is_streamed = reader.get_bool("stream").value_or(true);
  reader.ignore({"keep_alive", "think", "tools"});
  return request;
}

}  // namespace

OllamaRequest read_ollama_chat(const OrderedJson& body, const ChatLimits& limits) {
  FieldReader reader(body, "");
  OllamaRequest request = begin(reader);
  ChatRequest chat;
  chat.model = model_of(request.model);
  chat.generation = read_options(reader);
  const OrderedJson* messages = reader.find("messages");
  request.is_empty = messages == nullptr || (messages->is_array() && messages->empty());
  if (!request.is_empty) {
    if (!messages->is_array()) reader.wrong_type("messages", "a list of messages");
    OrderedJson rewritten = OrderedJson::array();
    std::size_t index = 0;
    for (const OrderedJson& message : *messages) {
      rewritten.push_back(with_parts(message, fmt::format("messages[{}]", index++)));
    }
    ChatRequest read = read_chat_request({{"messages", std::move(rewritten)}}, limits);
    chat.turns = std::move(read.turns);
    chat.images = std::move(read.images);
  }
  request.request = std::move(chat);
  return request;
}

OllamaRequest read_ollama_generate(const OrderedJson& body, const ChatLimits& limits) {
  FieldReader reader(body, "");
  OllamaRequest request = begin(reader);
  const std::string prompt = reader.get_string("prompt").value_or("");
  const GenerationFields generation = read_options(reader);
  for (const char* name : {"template", "context", "suffix"}) {
    if (!reader.has(name)) continue;
    throw ApiError(400, "unsupported_parameter", fmt::format("{}: is not supported", name), name);
  }
  const OrderedJson* images = reader.find("images");
  request.is_empty = prompt.empty() && images == nullptr;
  if (reader.get_bool("raw").value_or(false)) {
    OrderedJson plain = {{"prompt", prompt}};
    if (images != nullptr) plain["images"] = *images;
    CompletionRequest completion = read_completion_request(plain, limits);
    completion.model = model_of(request.model);
    completion.generation = generation;
    request.request = std::move(completion);
    return request;
  }
  OrderedJson messages = OrderedJson::array();
  if (const auto system = reader.get_string("system")) {
    messages.push_back({{"role", "system"}, {"content", *system}});
  }
  OrderedJson question = {{"role", "user"}, {"content", prompt}};
  if (images != nullptr) question["images"] = *images;
  messages.push_back(with_parts(question, "request"));
  ChatRequest chat = read_chat_request({{"messages", std::move(messages)}}, limits);
  chat.model = model_of(request.model);
  chat.generation = generation;
  request.request = std::move(chat);
  return request;
}

}  // namespace llava::serve
