// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template.h"

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/text/chat_template/interpreter.h"
#include "llava/text/chat_template/parser.h"
#include "llava/text/conversation.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

// Published templates have a few kilobytes.
constexpr size_t kMaxSourceBytes = 1u << 20;

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

jinja::Value value_of(const OrderedJson& json, std::string_view label, std::string_view what) {
  try {
    return jinja::Value::from_json(json);
  } catch (const Error& error) {
    fail(error.code(), "chat template '{}': {}: {}", label, what, error.what());
  }
}

OrderedJson parts_of(const ChatMessage& message) {
  OrderedJson parts = OrderedJson::array();
  for (int32_t i = 0; i < message.num_images; ++i) parts.push_back({{"type", "image"}});
  parts.push_back({{"type", "text"}, {"text", message.text}});
  return parts;
}

std::string text_of(const ChatMessage& message) {
  std::string text;
  for (int32_t i = 0; i < message.num_images; ++i) text += std::string(kImageToken) + "\n";
  return text + message.text;
}

}  // namespace

ChatTemplate::ChatTemplate(std::shared_ptr<const jinja::Program> program)
    : program_(std::move(program)) {}

ChatTemplate ChatTemplate::parse(std::string_view source, std::string_view label) {
  if (source.size() > kMaxSourceBytes) {
    fail(ErrorCode::kBadFormat, "chat template '{}' has {} bytes, at most {} are read", label,
         source.size(), kMaxSourceBytes);
  }
  if (!is_valid_utf8(source)) {
    fail(ErrorCode::kBadFormat, "chat template '{}' is not valid UTF-8", label);
  }
  return ChatTemplate(std::make_shared<const jinja::Program>(jinja::parse_program(source, label)));
}

std::string ChatTemplate::render(const OrderedJson& messages,
                                 const ChatTemplateOptions& options) const {
  const std::string& label = program_->label;
  jinja::Interpreter::Variables variables;
  variables.emplace_back("messages", value_of(messages, label, "messages"));
  variables.emplace_back("tools", options.tools != nullptr
                                      ? value_of(*options.tools, label, "tools")
                                      : jinja::Value::none());
  variables.emplace_back("documents", jinja::Value::none());
  variables.emplace_back("add_generation_prompt",
                         jinja::Value::boolean(options.add_generation_prompt));
  for (const auto& [name, text] : options.special_tokens) {
    if (!text.empty()) {
      jinja::set_variable(variables, name, jinja::Value::string(replace_invalid_utf8(text)));
    }
  }
  if (options.variables != nullptr) {
    for (const auto& [name, value] : options.variables->items()) {
      jinja::set_variable(variables, name, value_of(value, label, name));
    }
  }
  const jinja::Budget budget(options.limits.max_steps, options.limits.max_bytes);
  return jinja::Interpreter(*program_, budget, options.now.value_or(local_time()))
      .run(std::move(variables));
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages,
                                 const ChatTemplateOptions& options) const {
  OrderedJson list = OrderedJson::array();
  for (const ChatMessage& message : messages) {
    OrderedJson entry = OrderedJson::object();
    entry["role"] = message.role;
    if (takes_parts()) {
      entry["content"] = parts_of(message);
    } else {
      entry["content"] = text_of(message);
    }
    list.push_back(std::move(entry));
  }
  return render(list, options);
}

bool ChatTemplate::takes_parts() const { return program_->iterates_content; }

const std::string& ChatTemplate::source() const { return program_->source; }

}  // namespace llava::text
