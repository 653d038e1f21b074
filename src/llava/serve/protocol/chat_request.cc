// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/protocol/chat_request.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

using Role = ChatTurn::Role;

Role read_role(FieldReader& message) {
  const auto role = message.get_string("role");
  if (!role) fail_field(message.path_of("role"), "is missing");
  if (*role == "system" || *role == "developer") return Role::kSystem;
  if (*role == "user") return Role::kUser;
  if (*role == "assistant") return Role::kAssistant;
  if (*role == "tool" || *role == "function") {
    throw ApiError(400, "unsupported_parameter",
                   message.path_of("role") + ": tools are not supported", message.path_of("role"));
  }
  fail_field(message.path_of("role"), "expected system, user or assistant, found '{}'", *role);
}

/// Reads messages one after the other; pictures get their numbers.
class MessageReader {
 public:
  MessageReader(ChatRequest& request, const ChatLimits& limits)
      : request_(request), limits_(limits) {}

  void read(const OrderedJson& json, const std::string& path) {
    FieldReader message(json, path + ".");
    ChatTurn turn{.role = read_role(message), .parts = {}};
    message.ignore({"name", "refusal", "tool_calls", "audio"});
    const OrderedJson* content = message.find("content");
    if (content == nullptr) {
      if (turn.role != Role::kAssistant) fail_field(message.path_of("content"), "is missing");
    } else if (content->is_string()) {
      turn.parts.push_back({.text = content->get<std::string>()});
    } else if (content->is_array()) {
      std::size_t index = 0;
      for (const OrderedJson& part : *content) {
        read_part(part, fmt::format("{}[{}]", message.path_of("content"), index++), turn);
      }
    } else {
      message.wrong_type("content", "a string or a list of parts");
    }
    append(std::move(turn));
  }

 private:
  void append(ChatTurn turn) {
    auto& turns = request_.turns;
    if (turns.empty() || turns.back().role != turn.role) {
      turns.push_back(std::move(turn));
      return;
    }
    turns.back().parts.push_back({.text = "\n"});
    std::ranges::move(turn.parts, std::back_inserter(turns.back().parts));
  }

  void read_part(const OrderedJson& json, const std::string& path, ChatTurn& turn) {
    FieldReader part(json, path + ".");
    const std::string type = part.get_string("type").value_or("");
    if (type == "text" || type == "input_text") {
      const auto text = part.get_string("text");
      if (!text) fail_field(part.path_of("text"), "is missing");
      turn.parts.push_back({.text = *text});
    } else if (type == "image_file" || type == "file") {
      add_image(read_file_id(part, type), turn);
    } else if (type == "input_image" && part.has("file_id")) {
      add_image(file_of(part), turn);
    } else if (type == "image_url" || type == "input_image") {
      add_image(read_image_url(part), turn);
    } else if (type == "image") {
      auto data = part.get_string("data");
      const std::string name = data ? "data" : "image";
      if (!data) data = part.get_string("image");
      if (!data) fail_field(part.path_of("data"), "is missing");
      add_image({.location = std::move(*data), .param = part.path_of(name)}, turn);
    } else {
      fail_field(part.path_of("type"), "expected text, image_url, image_file or image, found '{}'",
                 type);
    }
  }

  /// {"type": "image_file", "image_file": {"file_id": ...}}, and the same with `file`.
  static ImageSource read_file_id(FieldReader& part, const std::string& type) {
    const OrderedJson* member = part.find(type);
    if (member == nullptr) fail_field(part.path_of(type), "is missing");
    FieldReader file(*member, part.path_of(type + "."));
    return file_of(file);
  }

  static ImageSource file_of(FieldReader& reader) {
    auto id = reader.get_string("file_id");
    if (!id) fail_field(reader.path_of("file_id"), "is missing");
    return {.location = {}, .param = reader.path_of("file_id"), .file_id = std::move(*id)};
  }

  ImageSource read_image_url(FieldReader& part) {
    const OrderedJson* member = part.find("image_url");
    if (member == nullptr) fail_field(part.path_of("image_url"), "is missing");
    if (member->is_string()) {
      return {.location = member->get<std::string>(), .param = part.path_of("image_url")};
    }
    FieldReader image(*member, part.path_of("image_url."));
    auto url = image.get_string("url");
    if (!url) fail_field(image.path_of("url"), "is missing");
    const std::string detail = image.get_string("detail").value_or("auto");
    if (detail != "auto" && detail != "low" && detail != "high") {
      fail_field(image.path_of("detail"), "expected auto, low or high, found '{}'", detail);
    }
    return {.location = std::move(*url),
            .param = image.path_of("url"),
            .is_low_detail = detail == "low"};
  }

  void add_image(ImageSource image, ChatTurn& turn) {
    if (turn.role != Role::kUser) fail_field(image.param, "only the user can show pictures");
    if (std::cmp_greater_equal(request_.images.size(), limits_.max_images)) {
      throw ApiError(
          400, "too_many_images",
          fmt::format("At most {} image(s) may be provided in one request.", limits_.max_images),
          image.param);
    }
    turn.parts.push_back({.text = {}, .image = static_cast<int32_t>(request_.images.size())});
    request_.images.push_back(std::move(image));
  }

  ChatRequest& request_;
  const ChatLimits& limits_;
};

/// System turns become one at the front.
void gather_system(std::vector<ChatTurn>& turns) {
  ChatTurn system{.role = Role::kSystem, .parts = {}};
  for (ChatTurn& turn : turns) {
    if (turn.role != Role::kSystem) continue;
    if (!system.parts.empty()) system.parts.push_back({.text = "\n"});
    std::ranges::move(turn.parts, std::back_inserter(system.parts));
  }
  std::erase_if(turns, [](const ChatTurn& turn) { return turn.role == Role::kSystem; });
  if (!system.parts.empty()) turns.insert(turns.begin(), std::move(system));
}

void check_order(const ChatRequest& request) {
  const auto first = std::ranges::find_if(
      request.turns, [](const ChatTurn& turn) { return turn.role != Role::kSystem; });
  if (first == request.turns.end() || first->role != Role::kUser) {
    fail_field("messages", "the first message that is no system message has to be the user's");
  }
  const Role last = request.turns.back().role;
  if (request.continues_last && last != Role::kAssistant) {
    fail_field("continue_final_message", "the last message is not the assistant's");
  }
  if (!request.continues_last && last != Role::kUser) {
    fail_field("messages",
               "the last message has to be the user's, or \"continue_final_message\" true");
  }
}

/// A choice that demands a call can be met in no way.
void check_tools(FieldReader& reader, bool may_ignore) {
  const OrderedJson* tools = reader.find("tools");
  const OrderedJson* choice = reader.find("tool_choice");
  const bool has_tools = tools != nullptr && !(tools->is_array() && tools->empty());
  const bool has_choice = choice != nullptr && *choice != "none" && *choice != "auto";
  if (has_choice) {
    throw ApiError(
        400, "unsupported_parameter",
        "tool_choice: tools are not supported: leave it out, or say \"none\" or \"auto\"",
        "tool_choice");
  }
  if (!has_tools || may_ignore) return;
  throw ApiError(
      400, "unsupported_parameter",
      "tools: tools are not supported: leave them out, or have the server pass over them "
      "with --tools-policy ignore",
      "tools");
}

void read_logprobs(FieldReader& reader, ChatRequest& request) {
  const bool has_logprobs = reader.get_bool("logprobs").value_or(false);
  const auto num_top = reader.get_int("top_logprobs", 0, 20);
  if (num_top.value_or(0) > 0 && !has_logprobs) {
    fail_field("top_logprobs", "is for requests with \"logprobs\": true");
  }
  if (has_logprobs) request.num_top_logprobs = static_cast<int32_t>(num_top.value_or(0));
}

}  // namespace

ChatRequest read_chat_request(const OrderedJson& body, const ChatLimits& limits) {
  FieldReader reader(body, "");
  ChatRequest request;
  request.model = reader.get_string("model").value_or("");
  const OrderedJson* messages = reader.find("messages");
  if (messages == nullptr) throw ApiError(400, "missing_field", "messages: is missing", "messages");
  if (!messages->is_array()) reader.wrong_type("messages", "a list of messages");
  if (messages->empty() || messages->size() > limits.max_messages) {
    fail_field("messages", "{} messages, expected 1 to {}", messages->size(), limits.max_messages);
  }
  MessageReader message_reader(request, limits);
  std::size_t index = 0;
  for (const OrderedJson& message : *messages) {
    message_reader.read(message, fmt::format("messages[{}]", index++));
  }
  request.continues_last = reader.get_bool("continue_final_message").value_or(false);
  reader.ignore({"add_generation_prompt"});
  gather_system(request.turns);
  if (request.turns.empty()) fail_field("messages", "there is only a system message");
  check_order(request);
  check_tools(reader, limits.ignores_tools);
  read_logprobs(reader, request);
  if (const OrderedJson* member = reader.find("mm_processor_kwargs")) {
    FieldReader arguments(*member, "mm_processor_kwargs.");
    request.image_aspect_ratio = arguments.get_string("image_aspect_ratio").value_or("");
    const std::vector<std::string> unknown = arguments.unknown();
    if (!unknown.empty()) fail_field(arguments.path_of(unknown.front()), "is not known");
    if (!request.image_aspect_ratio.empty() && request.image_aspect_ratio != "pad" &&
        request.image_aspect_ratio != "anyres" && request.image_aspect_ratio != "square") {
      fail_field(arguments.path_of("image_aspect_ratio"),
                 "expected pad, anyres or square, found '{}'", request.image_aspect_ratio);
    }
  }
  request.generation = read_generation_fields(reader, limits.generation);
  request.unknown_fields = reader.unknown();
  return request;
}

}  // namespace llava::serve
