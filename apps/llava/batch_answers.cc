// SPDX-License-Identifier: Apache-2.0
#include "batch_answers.h"

#include <memory>
#include <utility>

#include "llava/engine/dialogue.h"
#include "llava/text/python_text.h"

namespace llava::app {
namespace {

// A request in the engine; given up when nobody waits for it any more.
class Asked {
 public:
  Asked(std::shared_ptr<engine::AnswerStream> stream, int32_t image_tokens)
      : stream_(std::move(stream)), image_tokens_(image_tokens) {}
  ~Asked() { stream_->cancel(); }
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;

  engine::BatchAnswer wait(const std::stop_token& stop) const {
    const std::stop_callback cancel(stop, [this] { stream_->cancel(); });
    engine::BatchAnswer answer;
    while (const auto delta = stream_->next()) {
      answer.text += delta->text;
      if (delta->finish_reason) answer.finish_reason = *delta->finish_reason;
    }
    answer.text = text::strip_space(answer.text);
    const engine::AnswerUsage usage = stream_->usage();
    answer.prompt_tokens = usage.prompt_tokens;
    answer.image_tokens = image_tokens_;
    answer.completion_tokens = usage.completion_tokens;
    answer.draft_tokens = usage.draft_tokens;
    answer.accepted_tokens = usage.accepted_tokens;
    return answer;
  }

 private:
  std::shared_ptr<engine::AnswerStream> stream_;
  int32_t image_tokens_;
};

}  // namespace

BatchAnswers::BatchAnswers(Session& session, BatchAnswerOptions options, std::stop_token stop)
    : session_(session),
      options_(std::move(options)),
      conv_mode_(engine::choose_conv_mode(session.pretrained, options_.conv_mode)),
      stop_(std::move(stop)),
      grammar_(engine::make_grammar(session.pretrained, options_.answer)),
      engine_(session.open_engine(1)) {}

std::future<engine::BatchAnswer> BatchAnswers::submit(engine::BatchQuestion question) {
  try {
    return ask(question);
  } catch (...) {
    std::promise<engine::BatchAnswer> failed;
    failed.set_exception(std::current_exception());
    return failed.get_future();
  }
}

std::future<engine::BatchAnswer> BatchAnswers::ask(const engine::BatchQuestion& question) {
  const engine::Pretrained& pretrained = session_.pretrained;
  double preprocess_ms = 0;
  const auto images =
      prepare_pictures(session_, question.pictures, options_.pictures, preprocess_ms);
  engine::Dialogue dialogue(pretrained, conv_mode_);
  dialogue.ask(question.question, static_cast<int>(images.size()));
  const engine::PreparedPrompt prompt = engine::prepare_prompt(
      pretrained, engine::tokenize_prompt(pretrained, dialogue.prompt()), images);
  engine::AnswerOptions options = options_.answer;
  options.seed = options.seed.value_or(0) + static_cast<uint64_t>(question.index);
  engine::GenerationRequest request = engine::make_request(
      prompt, engine::resolve_params(pretrained, options, prompt), options.stop);
  request.grammar = grammar_;
  auto asked =
      std::make_shared<Asked>(engine_->submit(std::move(request)), prompt.num_image_tokens());
  return std::async(std::launch::deferred,
                    [asked = std::move(asked), stop = stop_] { return asked->wait(stop); });
}

}  // namespace llava::app
