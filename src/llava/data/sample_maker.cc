// SPDX-License-Identifier: Apache-2.0
#include "llava/data/sample_maker.h"

#include <utility>

#include "llava/core/error.h"
#include "llava/text/span_supervision.h"

namespace llava::data {
namespace {

// What went wrong with a record, said of the record.
template <class Action>
auto with_name(const Record& record, Action&& action) {
  try {
    return action();
  } catch (const Error& error) {
    fail(error.code(), "{}: {}", describe(record), error.what());
  }
}

}  // namespace

SampleMaker::SampleMaker(const text::Tokenizer& tokenizer, SampleRules rules)
    : tokenizer_(tokenizer), rules_(std::move(rules)) {}

Sample SampleMaker::text_of(const Record& record, const Dialogue& dialogue) const {
  const text::SupervisionOptions options{.has_images = dialogue.has_images,
                                         .max_length = rules_.model_max_length,
                                         .pad_id = rules_.pad_id,
                                         .trained_turns = dialogue.trained_turns};
  const auto supervise =
      rules_.compat == Compat::kReference ? &text::supervise : &text::supervise_spans;
  text::SupervisedSequence sequence = with_name(record, [&] {
    return supervise(tokenizer_, *rules_.dialogue.conversation, dialogue.messages, options);
  });
  Sample sample{.index = record.index,
                .id = record.id,
                .ids = std::move(sequence.ids),
                .labels = std::move(sequence.labels),
                .pictures = {},
                .warning = std::move(sequence.warning),
                .has_image_key = record.has_image_key};
  if (sample.warning.empty() && num_trained(sample) == 0) {
    sample.warning = "nothing of it is trained: no answer, or none before the length limit";
  }
  return sample;
}

Sample SampleMaker::make_text(const Record& record) const {
  return text_of(record, make_dialogue(record, rules_.dialogue));
}

Sample SampleMaker::make(const Record& record) const {
  const Dialogue dialogue = make_dialogue(record, rules_.dialogue);
  check_placeholders(record, dialogue, rules_.compat == Compat::kReference);
  Sample sample = text_of(record, dialogue);
  for (const std::string& path : record.images) {
    sample.pictures.push_back(
        with_name(record, [&] { return read_picture(rules_.pictures, path); }));
  }
  return sample;
}

}  // namespace llava::data
