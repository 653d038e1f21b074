// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/moderation/moderated_text.h"

#include "llava/core/error.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

constexpr const char* kTextFields[] = {"system", "prompt", "text"};

[[noreturn]] void refuse_ids(const std::string& field) {
  throw ApiError(400, "unsupported_parameter",
                 fmt::format("{}: token ids cannot be shown to this server's moderation service: "
                             "send text",
                             field),
                 field);
}

/// A text, a list of texts, or the parts of a message.
void add_text(const OrderedJson& value, const std::string& field, std::string& written) {
  if (value.is_string()) {
    if (!written.empty()) written += '\n';
    written += value.get_ref<const std::string&>();
  } else if (value.is_array()) {
    for (const OrderedJson& part : value) add_text(part, field, written);
  } else if (value.is_object()) {
    if (const auto text = value.find("text"); text != value.end()) {
      if (text->is_string()) add_text(*text, field, written);
    }
  } else if (value.is_number()) {
    refuse_ids(field);
  }
}

}  // namespace

std::string moderated_text(const OrderedJson& body) {
  std::string written;
  if (!body.is_object()) return written;
  for (const char* field : kTextFields) {
    if (const auto found = body.find(field); found != body.end()) add_text(*found, field, written);
  }
  if (const auto ids = body.find("input_ids"); ids != body.end() && !ids->is_null()) {
    refuse_ids("input_ids");
  }
  const auto messages = body.find("messages");
  if (messages == body.end() || !messages->is_array()) return written;
  for (const OrderedJson& message : *messages) {
    if (!message.is_object() || !message.contains("content")) continue;
    const auto role = message.find("role");
    if (role != message.end() && *role == "assistant") continue;
    add_text(message["content"], "messages", written);
  }
  return written;
}

std::optional<bool> read_moderation_answer(std::string_view body) {
  try {
    const Json json = parse_json(body, "the moderation service's answer");
    if (!json.is_object()) return std::nullopt;
    const auto results = json.find("results");
    if (results == json.end() || !results->is_array() || results->empty()) return std::nullopt;
    const Json& first = results->front();
    if (!first.is_object() || !first.contains("flagged")) return std::nullopt;
    const Json& flagged = first["flagged"];
    return flagged.is_boolean() ? std::optional(flagged.get<bool>()) : std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace llava::serve
