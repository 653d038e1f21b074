// SPDX-License-Identifier: Apache-2.0
//
// `llava tokenize`: text to ids and back, one JSON object a line.
#include <cstdio>
#include <iostream>

#include "command.h"
#include "command_line.h"
#include "fetch_model.h"
#include "llava/core/json.h"
#include "llava/engine/checkpoint_text.h"
#include "llava/text/conversation.h"
#include "llava/text/prompt.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "tokenize",
    .summary = "Turns text into token ids and back: JSON lines from stdin to stdout.",
    .details =
        "Each line is {\"text\": S}, {\"ids\": [...]} or {\"messages\": [[role, text], ...],\n"
        "\"conv_mode\": NAME}; ids of messages hold -200 for each <image>. A bad line gives\n"
        "{\"error\": ...} in its place and exit status 3 at the end.",
    .examples =
        "  echo '{\"text\": \"Hello world\"}' | llava tokenize --model-path llava-v1.5-7b\n"
        "  echo '{\"ids\": [1, 15043]}' | llava tokenize --model-path tokenizer.model"};

struct TokenizeOptions {
  engine::TextRequest request;
  bool no_special = false;
  bool skip_special = false;

  template <class V>
  void describe(V& v) {
    request.describe(v);
    v.field("no-special", no_special, "do not add begin and end tokens");
    v.field("skip-special", skip_special, "leave special tokens out of decoded text");
  }
};

class LineTokenizer {
 public:
  explicit LineTokenizer(const TokenizeOptions& options)
      : options_(options), checkpoint_(engine::open_checkpoint_text(options.request)) {}

  OrderedJson convert(const std::string& line) const {
    const Json input = parse_json(line, "line");
    const JsonObject object(input, "line");
    if (object.has("text")) return encode(*object.get_string("text"));
    if (object.has("ids")) return decode(object);
    if (object.has("messages")) return render(object);
    fail(ErrorCode::kBadFormat, "line: expected one of the keys 'text', 'ids', 'messages'");
  }

 private:
  OrderedJson encode(const std::string& text) const {
    OrderedJson result;
    result["ids"] = checkpoint_.tokenizer->encode(text, !options_.no_special);
    return result;
  }

  OrderedJson decode(const JsonObject& object) const {
    const std::vector<int64_t> given = *object.get_int_list("ids");
    std::vector<int32_t> ids;
    for (const int64_t id : given) {
      if (id < 0 || id >= checkpoint_.tokenizer->size()) {
        fail(ErrorCode::kInvalidArgument, "line: id {} is out of range, expected 0 to {}", id,
             checkpoint_.tokenizer->size() - 1);
      }
      ids.push_back(static_cast<int32_t>(id));
    }
    OrderedJson result;
    result["text"] = checkpoint_.tokenizer->decode(ids, options_.skip_special);
    return result;
  }

  OrderedJson render(const JsonObject& object) const {
    std::vector<text::Message> messages;
    for (const Json& item : *object.find("messages")) {
      if (!item.is_array() || item.size() != 2 || !item[0].is_string() ||
          !(item[1].is_string() || item[1].is_null())) {
        object.wrong_type("messages", "a list of [role, text]");
      }
      text::Message message{.role = item[0].get<std::string>()};
      if (item[1].is_string()) message.text = item[1].get<std::string>();
      messages.push_back(std::move(message));
    }
    const std::string mode = object.get_string("conv_mode").value_or(checkpoint_.conv_mode);
    if (mode.empty() && !checkpoint_.chat_template) {
      object.wrong_type("conv_mode", "the name of a conversation template");
    }
    const std::string prompt =
        mode.empty() ? own_prompt(object, messages) : named_prompt(mode, std::move(messages));
    OrderedJson result;
    result["prompt"] = prompt;
    result["ids"] =
        engine::tokenize_prompt(*checkpoint_.tokenizer, checkpoint_.image_token_id, prompt,
                                {.add_special = !options_.no_special, .has_single_begin = true});
    return result;
  }

  static std::string named_prompt(const std::string& mode, std::vector<text::Message> messages) {
    const text::ConversationTemplate& conversation = text::find_conversation_template(mode);
    for (text::Message& message : messages) {
      message.role = text::resolve_role(conversation, message.role);
    }
    return text::render_conversation(conversation, messages);
  }

  std::string own_prompt(const JsonObject& object,
                         const std::vector<text::Message>& messages) const {
    std::vector<text::ChatMessage> chat;
    bool begins_answer = false;
    for (const text::Message& message : messages) {
      if (begins_answer) object.wrong_type("messages", "null as the text of the last one only");
      begins_answer = !message.text;
      if (message.text) chat.push_back({.role = message.role, .text = *message.text});
    }
    return engine::render_chat(*checkpoint_.tokenizer, *checkpoint_.chat_template, chat,
                               begins_answer);
  }

  const TokenizeOptions& options_;
  engine::CheckpointText checkpoint_;
};

}  // namespace

int tokenize_command(const Arguments& arguments) {
  TokenizeOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  fetch_model({.model_path = options.request.model_path,
               .model_base = options.request.model_base,
               .needs_tower = false,
               .needs_weights = false});
  const LineTokenizer tokenizer(options);
  int status = 0;
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line.empty()) continue;
    OrderedJson result;
    try {
      result = tokenizer.convert(line);
    } catch (const Error& error) {
      result["error"] = {{"code", error_code_name(error.code())}, {"message", error.what()}};
      status = exit_status(ErrorCode::kBadFormat);
    }
    fmt::print("{}\n", to_text(result));
  }
  return status;
}

}  // namespace llava::app
