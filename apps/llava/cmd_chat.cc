// SPDX-License-Identifier: Apache-2.0
//
// `llava chat`: the original's terminal chat, with line editing and a few commands.
#include <cstdio>

#include "command.h"
#include "command_line.h"
#include "interrupt.h"
#include "line_reader.h"
#include "llava/engine/dialogue.h"
#include "llava/text/chat_template/text_form.h"
#include "llava/text/history.h"
#include "llava/text/text_streamer.h"
#include "session.h"
#include "torch_program.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "chat",
    .summary = "Talks about a picture in the terminal.",
    .details =
        "Inside the chat: /image PATH shows another picture, /reset starts over, /help lists\n"
        "the commands, an empty line or the end of input leaves. Ctrl-C stops an answer.",
    .examples =
        "  llava chat --image-file picture.png\n"
        "  llava chat --model-path llava-v1.5-7b --image-file photo.jpg --temperature 0"};

struct ChatOptions {
  engine::LoadRequest load;
  RuntimeOptions runtime;
  engine::AnswerOptions answer;
  engine::EngineOptions engine;
  PictureOptions pictures;
  std::string image_file;
  std::string conv_mode;
  bool compat_history = false;
  bool debug = false;

  template <class V>
  void describe(V& v) {
    v.field("image-file", image_file, "picture to talk about: a path or a URL");
    v.field("conv-mode", conv_mode, "conversation template, instead of the model's own");
    v.field("compat-history", compat_history,
            "keep begin and end tokens in the history, as the original's chat does");
    v.field("debug", debug, "print prompt and answer of every round");
    load.describe(v);
    runtime.describe(v);
    answer.describe(v);
    engine.describe_single(v);
    describe_pin(v, answer);
    pictures.describe(v);
  }
};

class Chat {
 public:
  explicit Chat(const ChatOptions& options)
      : options_(options), session_(options.runtime, options.load) {
    session_.engine_options = options.engine;
    const std::string warning = engine::conv_mode_warning(session_.pretrained, options.conv_mode);
    if (!warning.empty()) fmt::print(stderr, "{}\n", warning);
    if (!options.image_file.empty()) show_picture(options.image_file);
    reset();
  }

  int run() {
    LineReader reader;
    for (;;) {
      const auto line = reader.read(dialogue_->user_role() + ": ");
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

 private:
  void reset() {
    dialogue_.emplace(session_.pretrained,
                      engine::choose_conv_mode(session_.pretrained, options_.conv_mode));
    shown_pictures_ = 0;
  }

  void show_picture(const std::string& location) {
    double unused_ms = 0;
    images_ = prepare_pictures(session_, {location}, options_.pictures, unused_ms);
    shown_pictures_ = 0;
  }

  bool run_chat_command(const std::string& line) {
    if (line == "/reset") {
      reset();
      fmt::print("The conversation starts over.\n");
    } else if (line == "/help") {
      fmt::print(
          "/image PATH  another picture, new conversation\n"
          "/reset       new conversation about the same picture\n"
          "/exit        leave (or an empty line)\n");
    } else if (line == "/image") {
      fail(ErrorCode::kInvalidArgument, "/image needs the path or URL of a picture behind it");
    } else if (line.starts_with("/image ")) {
      show_picture(line.substr(std::string_view("/image ").size()));
      reset();
      fmt::print("The conversation starts over with this picture.\n");
    } else {
      return false;
    }
    return true;
  }

  void answer(const std::string& question) {
    std::stop_source stop;
    const InterruptGuard guard(stop);
    engine::Dialogue next = *dialogue_;
    next.ask(question, static_cast<int>(images_.size()) - shown_pictures_);
    const std::string prompt_text = next.prompt();
    const engine::PreparedPrompt prompt = engine::prepare_prompt(
        session_.pretrained, engine::tokenize_prompt(session_.pretrained, prompt_text), images_);
    fmt::print("{}: ", next.assistant_role());
    std::fflush(stdout);
    const engine::Answer answer = generate(prompt, stop.get_token());
    const std::string stored = stored_text(answer);
    next.answer(stored);
    dialogue_.emplace(std::move(next));
    shown_pictures_ = static_cast<int>(images_.size());
    if (options_.debug) {
      fmt::print("{}", text::debug_line(prompt_text, stored));
    }
  }

  engine::Answer generate(const engine::PreparedPrompt& prompt, std::stop_token stop) {
    text::TextStreamer streamer(*session_.pretrained.tokenizer);
    engine::AnswerCallbacks callbacks;
    callbacks.on_id = [&](int32_t id) {
      if (id < session_.pretrained.tokenizer->size()) show(streamer.push(id));
    };
    engine::Answer answer =
        engine::generate_answer(session_.engine_for(prompt, options_.answer), session_.pretrained,
                                prompt, options_.answer, callbacks, stop);
    show(streamer.finish());
    fmt::print("\n");
    return answer;
  }

  static void show(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  std::string stored_text(const engine::Answer& answer) const {
    if (!options_.compat_history) return answer.text;
    return text::stored_answer(*session_.pretrained.tokenizer, answer.ids,
                               text::HistoryMode::kOriginal);
  }

  const ChatOptions& options_;
  Session session_;
  std::vector<engine::PreparedImage> images_;
  int shown_pictures_ = 0;
  std::optional<engine::Dialogue> dialogue_;
};

}  // namespace

int chat_command(const Arguments& arguments) {
  ChatOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  require_backend(options.runtime);
  check_pin(options.answer, options.engine);
  return Chat(options).run();
}

}  // namespace llava::app
