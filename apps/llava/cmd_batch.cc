// SPDX-License-Identifier: Apache-2.0
//
// `llava batch`: a question about each of many pictures, answers as JSON lines, resumable.
#include <algorithm>
#include <cstdio>

#include "batch_answers.h"
#include "command.h"
#include "command_line.h"
#include "interrupt.h"
#include "llava/core/log.h"
#include "llava/core/progress.h"
#include "llava/engine/batch/batch_run.h"
#include "llava/engine/dialogue.h"
#include "session.h"
#include "torch_program.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "batch",
    .summary = "Answers a question about each of many pictures, one JSON line for each.",
    .details =
        "The input is a folder of pictures, with one --query about each, or a file of JSON lines\n"
        "with `image`, `question` and `id`. Started again with the same output, it goes on where "
        "it\n"
        "ended, whatever ended it.",
    .examples =
        "  llava batch --input photos --query \"What is shown?\" --output answers.jsonl\n"
        "  llava batch --input questions.jsonl --image-folder photos --output answers.jsonl \\\n"
        "      --model-path llava-v1.5-7b --max-new-tokens 64"};

struct BatchOptions {
  std::string input;
  std::string output;
  std::string query;
  std::string image_folder;
  int32_t max_in_flight = 16;
  BatchAnswerOptions answers;
  engine::LoadRequest load;
  RuntimeOptions runtime;
  engine::EngineOptions engine;

  // A run that is continued must answer as one that was not.
  BatchOptions() { answers.answer.temperature = 0; }

  template <class V>
  void describe(V& v) {
    v.required("input", input, "folder of pictures, or file of JSON lines");
    v.required("output", output, "file of JSON lines that receives the answers, or is continued");
    v.field("query", query, "the question about items that have none of their own");
    v.field("image-folder", image_folder,
            "where the pictures of JSON lines are, instead of beside their file");
    v.field("max-in-flight", max_in_flight, "questions that are worked on together",
            in_range(1, 4096));
    v.field("conv-mode", answers.conv_mode, "conversation template, instead of the model's own");
    load.describe(v);
    runtime.describe(v);
    answers.answer.describe(v);
    answers.pictures.describe(v);
    engine.describe(v);
  }
};

// A bar with the time left on a terminal; elsewhere a line in the log every half minute.
class Progress {
 public:
  void update(uint64_t done, uint64_t total) {
    bar_.update(done, total);
    const double now = now_ms();
    if (now - last_line_ms_ < kLineIntervalMs) return;
    last_line_ms_ = now;
    const double left_ms =
        (now - start_ms_) / static_cast<double>(done) * static_cast<double>(total - done);
    log_info("batch_progress", {{"done", done}, {"total", total}, {"left_s", left_ms / 1000}});
  }
  void clear() { bar_.clear(); }

 private:
  static constexpr double kLineIntervalMs = 30000;

  ProgressBar bar_{"answering"};
  double start_ms_ = now_ms();
  double last_line_ms_ = start_ms_;
};

void report(const engine::BatchReport& done, const std::string& output) {
  fmt::print(stderr, "llava: {} of {} answered in '{}'",
             done.num_resumed + done.num_answered + done.num_failed, done.num_items, output);
  if (done.num_resumed > 0) fmt::print(stderr, ", {} of them before", done.num_resumed);
  if (done.num_failed > 0) fmt::print(stderr, ", {} with an error", done.num_failed);
  if (done.num_draft_tokens > 0) {
    fmt::print(stderr, ", {} of {} guessed tokens right", done.num_accepted_tokens,
               done.num_draft_tokens);
  }
  if (!done.is_complete) fmt::print(stderr, "; the same command goes on");
  fmt::print(stderr, "\n");
}

}  // namespace

int batch_command(const Arguments& arguments) {
  BatchOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  require_backend(options.runtime);
  engine::BatchInput input({.input = options.input,
                            .query = options.query,
                            .image_folder = options.image_folder,
                            .output = options.output});
  Session session(options.runtime, options.load);
  session.engine_options = options.engine;
  // What waits is bounded by --max-in-flight.
  engine::EngineConfig& config = session.engine_options.config;
  config.max_queued_requests = std::max(config.max_queued_requests, options.max_in_flight);
  config.max_queued_tokens = std::numeric_limits<int64_t>::max();
  const std::string warning =
      engine::conv_mode_warning(session.pretrained, options.answers.conv_mode);
  if (!warning.empty()) fmt::print(stderr, "{}\n", warning);
  std::stop_source stop;
  const InterruptGuard guard(stop);
  BatchAnswers answers(session, options.answers, stop.get_token());
  Progress progress;
  const engine::BatchReport done = engine::run_batch(
      input, answers,
      {.output = options.output,
       .model = session.pretrained.name,
       .num_in_flight = options.max_in_flight,
       .on_progress = [&progress](uint64_t now, uint64_t total) { progress.update(now, total); }},
      stop.get_token());
  progress.clear();
  report(done, options.output);
  return done.is_complete ? 0 : kExitInterrupted;
}

}  // namespace llava::app
