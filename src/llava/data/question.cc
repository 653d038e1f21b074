// SPDX-License-Identifier: Apache-2.0
#include "llava/data/question.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "llava/core/error.h"
#include "llava/text/multimodal_sequence.h"
#include "llava/text/prompt.h"
#include "llava/text/python_text.h"

namespace llava::data {
namespace {

std::string prompt_text(const text::ConversationTemplate& conversation, const Dialogue& dialogue) {
  // Training shows a picture and its caption without what the renderer puts between them.
  if (conversation.style == text::SeparatorStyle::kPlain) return *dialogue.messages[0].text;
  const std::vector<text::Message> messages{dialogue.messages[0],
                                            {.role = conversation.roles[1], .text = std::nullopt}};
  return text::render_conversation(conversation, messages);
}

std::string stripped(std::string_view value) { return std::string(text::strip_space(value)); }

}  // namespace

Question first_question(const SampleMaker& maker, const Record& record) {
  const SampleRules& rules = maker.rules();
  const Dialogue dialogue = make_dialogue(record, rules.dialogue);
  check_placeholders(record, dialogue, rules.compat == Compat::kReference);
  const std::string prompt = prompt_text(*rules.dialogue.conversation, dialogue);
  Question question;
  question.sample = {.index = record.index, .id = record.id, .has_image_key = record.has_image_key};
  question.sample.ids = dialogue.has_images ? text::tokenize_with_images(maker.tokenizer(), prompt)
                                            : maker.tokenizer().encode(prompt);
  question.sample.labels.assign(question.sample.ids.size(), text::kIgnoreLabel);
  const auto num_pictures =
      static_cast<std::size_t>(std::ranges::count(question.sample.ids, text::kImageSentinel));
  for (const std::string& path : record.images) {
    // Pictures of later turns are not asked about.
    if (question.sample.pictures.size() == num_pictures) break;
    question.sample.pictures.push_back(read_picture(rules.pictures, path));
  }
  question.prompt = stripped(text::replace_text(*dialogue.messages[0].text, text::kImageToken, ""));
  if (dialogue.messages.size() > 1) question.reference = stripped(*dialogue.messages[1].text);
  return question;
}

AnswerText answer_text(const SampleMaker& maker, std::span<const int32_t> ids) {
  AnswerText answer;
  const auto end = std::ranges::find(ids, maker.tokenizer().eos_id().value_or(-1));
  answer.is_over = end != ids.end();
  answer.text = maker.tokenizer().decode({ids.begin(), end});
  if (const auto stop = text::stop_string(*maker.rules().dialogue.conversation)) {
    const std::size_t place = answer.text.find(*stop);
    if (place != std::string::npos) {
      answer.text.resize(place);
      answer.is_over = true;
    }
  }
  answer.text = stripped(answer.text);
  return answer;
}

}  // namespace llava::data
