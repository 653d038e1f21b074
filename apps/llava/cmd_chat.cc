// SPDX-License-Identifier: Apache-2.0
//
// `llava chat`: the original's terminal chat, with line editing and a few commands.
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

#include "chat_options.h"
#include "command.h"
#include "command_line.h"
#include "interrupt.h"
#include "line_reader.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/text/history.h"
#include "local_partner.h"
#include "remote_partner.h"
#include "torch_program.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "chat",
    .summary = "Talks about a picture in the terminal.",
    .details =
        "Inside the chat: /image PATH shows another picture, /clear starts over, /params "
        "NAME=VALUE\n"
        "changes how answers are chosen, /save FILE keeps the conversation, /help lists the\n"
        "commands, an empty line or the end of input leaves. Ctrl-C stops an answer.",
    .examples =
        "  llava chat --image-file picture.png\n"
        "  llava chat --model-path llava-v1.5-7b --image-file photo.jpg --temperature 0\n"
        "  llava chat --server http://127.0.0.1:8000 --image-file photo.jpg --prompt 'What is "
        "it?'"};

constexpr int kExitInterrupted = 130;

// What is behind a command, or nothing when the line is not that command.
std::optional<std::string> argument_of(const std::string& line, const std::string& command) {
  if (line == command) return std::string();
  if (!line.starts_with(command + " ")) return std::nullopt;
  const std::size_t begin = line.find_first_not_of(' ', command.size());
  return begin == std::string::npos ? std::string() : line.substr(begin);
}

std::vector<Field> fields_of(auto& config) {
  FieldList list;
  config.describe(list);
  return list.fields();
}

// A server decides about its model.
void require_nothing_of_a_model(ChatOptions& options) {
  static constexpr std::array kOfTheClient{"image-file",
                                           "prompt",
                                           "server",
                                           "api-key",
                                           "model-path",
                                           "temperature",
                                           "top-p",
                                           "top-k",
                                           "min-p",
                                           "stop",
                                           "seed",
                                           "max-new-tokens",
                                           "grammar",
                                           "presence-penalty",
                                           "json-schema",
                                           "repetition-penalty",
                                           "frequency-penalty"};
  ChatOptions defaults;
  for (const std::string& name : changed_fields(fields_of(options), fields_of(defaults))) {
    if (std::ranges::find(kOfTheClient, name) == kOfTheClient.end()) {
      fail(
          ErrorCode::kInvalidArgument,
          "--{} is about a model in this program, and --server '{}' has its own: leave one of them "
          "out",
          name, options.server);
    }
  }
}

class Chat {
 public:
  explicit Chat(ChatOptions& options) : options_(options), pictures_(options.image_file) {
    if (options.server.empty()) {
      partner_ = std::make_unique<LocalPartner>(options);
    } else {
      partner_ = std::make_unique<RemotePartner>(options);
    }
  }

  int run() {
    LineReader reader;
    for (;;) {
      const auto line = reader.read(partner_->user_role() + ": ");
      if (!line || line->empty() || *line == "/exit") {
        fmt::print("exit...\n");
        return 0;
      }
      try {
        if (!run_chat_command(*line)) answer(*line);
      } catch (const Error& error) {
        // A bad picture or question costs the user one line, not the conversation.
        if (error.code() == ErrorCode::kInternal) throw;
        fmt::print(stderr, "llava: error: {}\n", error.what());
      }
    }
  }

  /// Prints nothing but the answer.
  int ask_once() {
    std::stop_source stop;
    const InterruptGuard guard(stop);
    partner_->answer(options_.prompt, show, stop.get_token());
    fmt::print("\n");
    return stop.stop_requested() ? kExitInterrupted : 0;
  }

 private:
  bool run_chat_command(const std::string& line) {
    if (line == "/reset" || line == "/clear") {
      partner_->reset();
      turns_ = OrderedJson::array();
      fmt::print("The conversation starts over.\n");
    } else if (line == "/help") {
      fmt::print(
          "/image PATH         another picture, new conversation\n"
          "/clear              new conversation about the same picture (/reset is the same)\n"
          "/params NAME=VALUE  change temperature, top-p, max-new-tokens and so on; alone: show "
          "them\n"
          "/save FILE          write the conversation as a record of llava train's data\n"
          "/exit               leave (or an empty line)\n");
    } else if (const auto picture = argument_of(line, "/image")) {
      show_picture(*picture);
    } else if (const auto settings = argument_of(line, "/params")) {
      change_settings(*settings);
    } else if (const auto file = argument_of(line, "/save")) {
      save(*file);
    } else {
      return false;
    }
    return true;
  }

  void show_picture(const std::string& location) {
    if (location.empty()) {
      fail(ErrorCode::kInvalidArgument, "/image needs the path or URL of a picture behind it");
    }
    partner_->begin({location});
    pictures_ = {location};
    turns_ = OrderedJson::array();
    fmt::print("The conversation starts over with this picture.\n");
  }

  // Settings are those of the flags, with their checks.
  void change_settings(const std::string& settings) {
    if (settings.empty()) {
      fmt::print("{}", list_values(fields_of(options_.answer)));
      return;
    }
    Arguments flags;
    for (std::size_t begin = 0; begin < settings.size();) {
      const std::size_t end = std::min(settings.find(' ', begin), settings.size());
      const std::string setting = settings.substr(begin, end - begin);
      if (setting.find('=') == std::string::npos) {
        fail(ErrorCode::kInvalidArgument,
             "/params takes settings such as temperature=0.7, found '{}'", setting);
      }
      flags.push_back("--" + setting);
      begin = settings.find_first_not_of(' ', end);
      if (begin == std::string::npos) break;
    }
    ChatOptions changed = options_;
    parse_into({.name = "chat, /params", .summary = {}, .details = {}, .examples = {}},
               changed.answer, flags);
    if (!changed.server.empty()) require_nothing_of_a_model(changed);
    options_.answer = std::move(changed.answer);
  }

  // A record of the published JSON schema, as `llava train` reads it.
  void save(const std::string& file) const {
    if (file.empty()) fail(ErrorCode::kInvalidArgument, "/save needs the name of a file behind it");
    if (std::filesystem::exists(file)) {
      fail(ErrorCode::kInvalidArgument, "'{}' is there already: give /save another name", file);
    }
    OrderedJson record{{"id", "chat"}};
    if (pictures_.size() == 1) record["image"] = pictures_.front();
    if (pictures_.size() > 1) record["image"] = pictures_;
    record["conversations"] = turns_;
    write_file_atomically(file, to_text(OrderedJson::array({std::move(record)}), 1) + "\n");
    fmt::print("The conversation is in '{}'.\n", file);
  }

  void answer(const std::string& question) {
    std::stop_source stop;
    const InterruptGuard guard(stop);
    bool has_begun = false;
    const auto show_line = [&](std::string_view text) {
      if (!std::exchange(has_begun, true)) fmt::print("{}: ", partner_->assistant_role());
      show(text);
    };
    std::string stored;
    try {
      stored = partner_->answer(question, show_line, stop.get_token());
    } catch (...) {
      if (has_begun) fmt::print("\n");
      throw;
    }
    fmt::print("\n");
    std::string shown = question;
    if (turns_.empty() && question.find("<image>") == std::string::npos) {
      for (std::size_t i = 0; i < pictures_.size(); ++i) shown.insert(0, "<image>\n");
    }
    turns_.push_back({{"from", "human"}, {"value", std::move(shown)}});
    turns_.push_back({{"from", "gpt"}, {"value", stored}});
    if (options_.debug) fmt::print("{}", text::debug_line(partner_->last_prompt(), stored));
  }

  static void show(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  ChatOptions& options_;
  std::unique_ptr<ChatPartner> partner_;
  std::vector<std::string> pictures_;
  OrderedJson turns_ = OrderedJson::array();  ///< of the conversation, for /save
};

}  // namespace

int chat_command(const Arguments& arguments) {
  ChatOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  if (options.server.empty()) {
    if (!options.api_key.empty()) {
      fail(ErrorCode::kInvalidArgument, "--api-key is for a --server, and there is none");
    }
    require_backend(options.runtime);
    check_pin(options.answer, options.engine);
  } else {
    require_nothing_of_a_model(options);
  }
  Chat chat(options);
  return options.prompt.empty() ? chat.run() : chat.ask_once();
}

}  // namespace llava::app
