// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/web/conversation_record.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"
#include "llava/text/conversation.h"

namespace llava::serve {
namespace {

using Role = ChatTurn::Role;

constexpr std::array<std::string_view, 4> kSingleTypes = {"chat", "upvote", "downvote", "flag"};
constexpr std::array<std::string_view, 4> kArenaTypes = {"leftvote", "rightvote", "tievote",
                                                         "bothbad_vote"};
constexpr std::size_t kMaxIdBytes = 128;
constexpr double kMaxSeconds = 7 * 86400;

std::string read_short_string(FieldReader& reader, std::string_view name) {
  std::string value = reader.get_string(name).value_or("");
  if (value.size() > kMaxIdBytes) {
    fail_field(reader.path_of(name), "{} bytes, expected at most {}", value.size(), kMaxIdBytes);
  }
  return value;
}

void refuse_unknown(const std::vector<std::string>& names, const std::string& path) {
  if (!names.empty()) fail_field(path + names.front(), "is not known");
}

ChatRequest read_conversation(const OrderedJson& json, const std::string& path,
                              const ChatLimits& limits) {
  if (!json.is_object()) fail_field(path, "expected an object, found {}", json_type_name(json));
  OrderedJson request = json;
  // Its last message is the answer.
  request["continue_final_message"] = true;
  ChatRequest conversation = read_chat_request(request, limits);
  refuse_unknown(conversation.unknown_fields, path + ".");
  if (conversation.model.empty()) fail_field(path + ".model", "is missing");
  return conversation;
}

/// To a tenth of a millisecond, as the original rounds.
double round_time(double seconds) { return std::round(seconds * 1e4) / 1e4; }

/// A turn's text with the original's placeholders behind it, one for each picture.
std::string text_of(const ChatTurn& turn) {
  std::string written;
  std::string placeholders;
  for (const ContentPart& part : turn.parts) {
    written += part.text;
    if (part.image >= 0) placeholders += "\n<image>";
  }
  return written + placeholders;
}

/// The original's Conversation.dict().
OrderedJson state_json(const ChatRequest& conversation, const std::string& conv_mode) {
  text::ConversationTemplate form{.names = {}, .system = {}, .roles = {"user", "assistant"}};
  if (!conv_mode.empty()) form = text::find_conversation_template(conv_mode);
  OrderedJson messages = OrderedJson::array();
  for (const text::Message& example : form.examples) {
    messages.push_back(OrderedJson::array({example.role, example.text.value_or("")}));
  }
  for (const ChatTurn& turn : conversation.turns) {
    if (turn.role == Role::kSystem) {
      form.system = text_of(turn);
    } else {
      const std::string& role = form.roles[turn.role == Role::kUser ? 0 : 1];
      messages.push_back(OrderedJson::array({role, text_of(turn)}));
    }
  }
  return {{"system", form.system},
          {"roles", form.roles},
          {"messages", std::move(messages)},
          {"offset", form.examples.size()},
          {"sep", form.sep},
          {"sep2", form.sep2 ? OrderedJson(*form.sep2) : OrderedJson()}};
}

/// The number that was sent: 0.2, where the float is 0.200000003.
OrderedJson json_or_null(const std::optional<float>& value) {
  if (!value) return nullptr;
  const std::string digits = fmt::format("{}", *value);
  double number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

template <class T>
OrderedJson json_or_null(const std::optional<T>& value) {
  return value ? OrderedJson(*value) : OrderedJson();
}

std::string conv_mode_of(const RecordOrigin& origin, std::size_t index) {
  return index < origin.conv_modes.size() ? origin.conv_modes[index] : std::string();
}

OrderedJson params_json(const ChatRequest& conversation) {
  const GenerationFields& fields = conversation.generation;
  return {{"temperature", json_or_null(fields.temperature)},
          {"top_p", json_or_null(fields.top_p)},
          {"max_new_tokens", json_or_null(fields.max_tokens)},
          {"seed", json_or_null(fields.seed)},
          {"top_k", json_or_null(fields.top_k)},
          {"stop", fields.stop},
          {"image_aspect_ratio", conversation.image_aspect_ratio}};
}

}  // namespace

ConversationRecord read_conversation_record(const OrderedJson& body, const ChatLimits& limits) {
  FieldReader reader(body, "");
  ConversationRecord record;
  record.type = reader.get_string("type").value_or("");
  const bool is_arena = std::ranges::find(kArenaTypes, record.type) != kArenaTypes.end();
  if (!is_arena && std::ranges::find(kSingleTypes, record.type) == kSingleTypes.end()) {
    fail_field("type",
               "expected chat, upvote, downvote, flag, leftvote, rightvote, tievote or "
               "bothbad_vote, found '{}'",
               record.type);
  }
  const OrderedJson* requests = reader.find("requests");
  if (requests == nullptr) throw ApiError(400, "missing_field", "requests: is missing", "requests");
  if (!requests->is_array()) reader.wrong_type("requests", "a list of requests");
  const std::size_t num_expected = is_arena ? 2 : 1;
  if (requests->size() != num_expected) {
    fail_field("requests", "{} requests, expected {} for '{}'", requests->size(), num_expected,
               record.type);
  }
  for (const OrderedJson& request : *requests) {
    const std::string path = fmt::format("requests[{}]", record.conversations.size());
    record.conversations.push_back(read_conversation(request, path, limits));
  }
  if (record.is_chat()) {
    record.seconds = reader.get_number("seconds", 0, kMaxSeconds).value_or(0);
    record.request_id = read_short_string(reader, "request_id");
    record.finish_reason = read_short_string(reader, "finish_reason");
  }
  refuse_unknown(reader.unknown(), "");
  return record;
}

OrderedJson log_entry(const ConversationRecord& record, const RecordOrigin& origin) {
  OrderedJson entry;
  entry["tstamp"] = round_time(origin.time);
  entry["type"] = record.type;
  if (record.conversations.size() == 2) {
    OrderedJson models = OrderedJson::array();
    OrderedJson states = OrderedJson::array();
    for (std::size_t i = 0; i < record.conversations.size(); ++i) {
      models.push_back(record.conversations[i].model);
      states.push_back(state_json(record.conversations[i], conv_mode_of(origin, i)));
    }
    entry["models"] = std::move(models);
    entry["states"] = std::move(states);
    entry["ip"] = origin.address;
    return entry;
  }
  const ChatRequest& conversation = record.conversations.front();
  entry["model"] = conversation.model;
  if (record.is_chat()) {
    entry["start"] = round_time(origin.time - record.seconds);
    entry["finish"] = round_time(origin.time);
  }
  entry["state"] = state_json(conversation, conv_mode_of(origin, 0));
  if (record.is_chat()) entry["images"] = origin.images;
  entry["ip"] = origin.address;
  if (record.is_chat()) {
    entry["request_id"] = record.request_id;
    entry["params"] = params_json(conversation);
    entry["finish_reason"] = record.finish_reason;
  }
  return entry;
}

}  // namespace llava::serve
