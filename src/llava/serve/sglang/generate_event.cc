// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/sglang/generate_event.h"

#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::serve {
namespace {

constexpr std::string_view kSource = "an event of /generate";

/// The message of {"error": {"message": ...}}, {"error": ...} and the like.
std::string message_of(const Json& error) {
  if (error.is_object() && error.contains("message")) return message_of(error["message"]);
  return error.is_string() ? error.get<std::string>() : to_text(error);
}

/// An object with a type, or in early servers a word.
void read_finish_reason(const Json& reason, GenerateEvent& event) {
  if (reason.is_string()) {
    event.finish_reason = reason.get<std::string>();
  } else if (reason.is_object()) {
    event.finish_reason =
        JsonObject(reason, "meta_info.finish_reason").get_string("type").value_or("stop");
  }
  if (event.finish_reason == "abort") {
    event = {.error = reason.is_object() ? message_of(reason) : "the server aborted the answer"};
  }
}

}  // namespace

GenerateEvent read_generate_event(std::string_view data) {
  if (data == "[DONE]") return {.is_last = true};
  const Json json = parse_json(data, kSource);
  const JsonObject object(json, kSource);
  if (const Json* error = object.find("error")) return {.error = message_of(*error)};
  GenerateEvent event;
  auto text = object.get_string("text");
  if (!text) fail(ErrorCode::kBadFormat, "{} has neither text nor error", kSource);
  event.text = std::move(*text);
  const Json* meta = object.find("meta_info");
  if (meta == nullptr) return event;
  const JsonObject info(*meta, "meta_info");
  event.prompt_tokens = info.get_int("prompt_tokens").value_or(0);
  event.completion_tokens = info.get_int("completion_tokens").value_or(0);
  if (const Json* reason = info.find("finish_reason")) read_finish_reason(*reason, event);
  return event;
}

}  // namespace llava::serve
