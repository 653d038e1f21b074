// SPDX-License-Identifier: Apache-2.0
//
// `llava run`: one question, one answer; the original's run_llava with every flag it has.
#include <cstdio>

#include "command.h"
#include "command_line.h"
#include "llava/core/json.h"
#include "llava/engine/dialogue.h"
#include "session.h"
#include "torch_program.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "run",
    .summary = "Asks one question about pictures and prints the answer.",
    .details =
        "Without --model-path the bundled model answers. The question may name the places of the\n"
        "pictures with <image-placeholder>; otherwise they stand in front of it.",
    .examples =
        "  llava run --image-file picture.png --query \"what shape is in the image?\"\n"
        "  llava run --model-path llava-v1.5-7b --image-file a.jpg,b.jpg \\\n"
        "      --query \"<image-placeholder> <image-placeholder> What changed?\" --temperature 0\n"
        "  llava run --image-file https://example.org/cat.jpg --query \"What is this?\" --json"};

struct RunOptions {
  engine::LoadRequest load;
  RuntimeOptions runtime;
  engine::AnswerOptions answer;
  engine::EngineOptions engine;
  PictureOptions pictures;
  std::string image_file;
  std::string sep = ",";
  std::string query;
  std::string conv_mode;
  bool json = false;

  template <class V>
  void describe(V& v) {
    v.field("image-file", image_file, "picture, or several with --sep between them: paths or URLs");
    v.required("query", query, "the question");
    v.field("sep", sep, "what separates the pictures of --image-file");
    v.field("conv-mode", conv_mode, "conversation template, instead of the model's own");
    v.field("json", json, "print one JSON object: text, ids, usage, timings");
    load.describe(v);
    runtime.describe(v);
    answer.describe(v);
    engine.describe_single(v);
    describe_pin(v, answer);
    pictures.describe(v);
  }
};

// Prints text as it comes, without the outer whitespace that the final answer does not have.
class TrimmedPrinter {
 public:
  void print(std::string_view text) {
    held_ += text;
    const std::size_t begin = has_begun_ ? 0 : held_.find_first_not_of(" \t\r\n");
    const std::size_t last = held_.find_last_not_of(" \t\r\n");
    if (begin == std::string::npos || last == std::string::npos) return;
    std::fwrite(held_.data() + begin, 1, last + 1 - begin, stdout);
    std::fflush(stdout);
    has_begun_ = true;
    held_.erase(0, last + 1);
  }

 private:
  std::string held_;
  bool has_begun_ = false;
};

OrderedJson to_json(const Session& session, const engine::PreparedPrompt& prompt,
                    const engine::Answer& answer, double preprocess_ms) {
  OrderedJson result;
  result["text"] = answer.text;
  result["finish_reason"] = finish_reason_name(answer.finish_reason);
  result["prompt_ids"] = prompt.ids_with_sentinels;
  result["generated_ids"] = answer.ids;
  result["usage"] = {
      {"prompt_tokens", prompt.num_tokens()},     {"image_tokens", prompt.num_image_tokens()},
      {"cached_tokens", answer.cached_tokens},    {"encoded_images", answer.encoded_images},
      {"completion_tokens", answer.ids.size()},   {"draft_tokens", answer.draft_tokens},
      {"accepted_tokens", answer.accepted_tokens}};
  result["timings"] = {{"load_ms", session.load_ms},
                       {"preprocess_ms", preprocess_ms},
                       {"encode_ms", answer.timings.encode_ms},
                       {"prefill_ms", answer.timings.prefill_ms},
                       {"first_token_ms", answer.timings.first_token_ms},
                       {"decode_ms", answer.timings.decode_ms}};
  result["model"] = session.pretrained.name;
  result["backend"] = session.runtime.backend_name();
  return result;
}

}  // namespace

int run_command(const Arguments& arguments) {
  RunOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  require_backend(options.runtime);
  check_pin(options.answer, options.engine);
  Session session(options.runtime, options.load);
  const engine::Pretrained& pretrained = session.pretrained;
  if (options.load.model_path.empty()) {
    fmt::print(stderr, "llava: the bundled model {} answers (--model-path chooses another)\n",
               pretrained.name);
  }
  const std::string warning = engine::conv_mode_warning(pretrained, options.conv_mode);
  if (!warning.empty()) fmt::print(stderr, "{}\n", warning);
  const std::vector<std::string> locations = engine::split_list(options.image_file, options.sep);
  double preprocess_ms = 0;
  const auto images = prepare_pictures(session, locations, options.pictures, preprocess_ms);
  engine::Dialogue dialogue(pretrained, engine::choose_conv_mode(pretrained, options.conv_mode));
  dialogue.ask(options.query, static_cast<int>(images.size()));
  const engine::PreparedPrompt prompt = engine::prepare_prompt(
      pretrained, engine::tokenize_prompt(pretrained, dialogue.prompt()), images);
  TrimmedPrinter printer;
  engine::AnswerCallbacks callbacks;
  if (!options.json) callbacks.on_text = [&](std::string_view text) { printer.print(text); };
  // One question needs no more cache than its own.
  session.engine_options = options.engine;
  session.engine_options.kv_cache_tokens = 1;
  const engine::Answer answer = engine::generate_answer(
      session.engine_for(prompt, options.answer), pretrained, prompt, options.answer, callbacks);
  if (options.json) {
    fmt::print("{}\n", to_text(to_json(session, prompt, answer, preprocess_ms)));
  } else {
    fmt::print("\n");
  }
  return 0;
}

}  // namespace llava::app
