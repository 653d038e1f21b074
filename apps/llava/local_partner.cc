// SPDX-License-Identifier: Apache-2.0
#include "local_partner.h"

#include <cstdio>
#include <utility>

#include "llava/text/history.h"
#include "llava/text/text_streamer.h"

namespace llava::app {

LocalPartner::LocalPartner(const ChatOptions& options)
    : options_(options), session_(options.runtime, options.load) {
  session_.engine_options = options.engine;
  const std::string warning = engine::conv_mode_warning(session_.pretrained, options.conv_mode);
  if (!warning.empty()) fmt::print(stderr, "{}\n", warning);
  begin(options.image_file);
}

void LocalPartner::begin(const std::vector<std::string>& pictures) {
  double unused_ms = 0;
  images_ = prepare_pictures(session_, pictures, options_.pictures, unused_ms);
  reset();
}

void LocalPartner::reset() {
  dialogue_.emplace(session_.pretrained,
                    engine::choose_conv_mode(session_.pretrained, options_.conv_mode));
  shown_pictures_ = 0;
}

std::string LocalPartner::answer(const std::string& question,
                                 const std::function<void(std::string_view text)>& show,
                                 std::stop_token stop) {
  engine::Dialogue next = *dialogue_;
  next.ask(question, static_cast<int>(images_.size()) - shown_pictures_);
  std::string prompt_text = next.prompt();
  const engine::PreparedPrompt prompt = engine::prepare_prompt(
      session_.pretrained, engine::tokenize_prompt(session_.pretrained, prompt_text), images_);
  show({});
  text::TextStreamer streamer(*session_.pretrained.tokenizer);
  engine::AnswerCallbacks callbacks;
  callbacks.on_id = [&](int32_t id) {
    if (id < session_.pretrained.tokenizer->size()) show(streamer.push(id));
  };
  const engine::Answer answer =
      engine::generate_answer(session_.engine_for(prompt, options_.answer), session_.pretrained,
                              prompt, options_.answer, callbacks, std::move(stop));
  show(streamer.finish());
  std::string stored = stored_text(answer);
  next.answer(stored);
  dialogue_.emplace(std::move(next));
  shown_pictures_ = static_cast<int>(images_.size());
  last_prompt_ = std::move(prompt_text);
  return stored;
}

std::string LocalPartner::stored_text(const engine::Answer& answer) const {
  if (!options_.compat_history) return answer.text;
  return text::stored_answer(*session_.pretrained.tokenizer, answer.ids,
                             text::HistoryMode::kOriginal);
}

}  // namespace llava::app
