// SPDX-License-Identifier: Apache-2.0
#include "llava/train/sample_answers.h"

#include <algorithm>
#include <limits>

#include "llava/core/json.h"
#include "llava/train/greedy_answers.h"

namespace llava::train {
namespace {

constexpr int32_t kMostNewTokens = 128;

Json line_of(const data::Question& question, int64_t step, const std::string& answer) {
  const data::Sample& sample = question.sample;
  Json line = {{"step", step}, {"prompt", question.prompt}, {"answer", answer}};
  line["sample"] = sample.index;
  if (!sample.id.empty()) line["sample"] = sample.id;
  if (!question.reference.empty()) line["reference"] = question.reference;
  if (sample.pictures.size() == 1) line["image"] = sample.pictures.front().path;
  if (sample.pictures.size() > 1) {
    line["image"] = Json::array();
    for (const data::PreparedPicture& picture : sample.pictures) {
      line["image"].push_back(picture.path);
    }
  }
  return line;
}

}  // namespace

SampleAnswers::SampleAnswers(const data::ConversationFile& file, const data::SampleMaker& maker,
                             int64_t count, int32_t batch_size)
    : maker_(maker), batch_size_(batch_size) {
  for (int64_t i = 0; i < std::min(count, file.size()); ++i) {
    questions_.push_back(data::first_question(maker, file.record(i)));
  }
}

std::vector<Json> SampleAnswers::answer(Context& ctx, const model::LlavaModel& model,
                                        const PassOptions& options, int64_t step) const {
  std::vector<Json> lines;
  while (lines.size() < questions_.size()) {
    const std::size_t first = lines.size();
    const std::size_t end =
        std::min(first + static_cast<std::size_t>(batch_size_), questions_.size());
    std::vector<const data::Sample*> samples;
    for (std::size_t i = first; i < end; ++i) samples.push_back(&questions_[i].sample);
    const auto answers =
        greedy_answers(ctx, model,
                       data::make_flat_batch(samples, std::numeric_limits<int32_t>::max(),
                                             /*shares_prefixes=*/false),
                       options, kMostNewTokens, [&](std::size_t, std::span<const int32_t> ids) {
                         return data::answer_text(maker_, ids).is_over;
                       });
    for (std::size_t i = first; i < end; ++i) {
      lines.push_back(
          line_of(questions_[i], step, data::answer_text(maker_, answers[i - first]).text));
    }
  }
  return lines;
}

}  // namespace llava::train
