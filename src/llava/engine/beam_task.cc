// SPDX-License-Identifier: Apache-2.0
//
// Beam search: the beams are sequences that are forked from one another; a step waits until the
// logits of all of them are there.
#include <algorithm>
#include <cstddef>

#include "llava/core/check.h"
#include "llava/engine/beam_search.h"
#include "llava/engine/generation_task.h"
#include "llava/engine/stop.h"
#include "llava/text/stream_decoder.h"

namespace llava::engine {
namespace {

class BeamTask final : public GenerationTask {
 public:
  BeamTask(const TaskContext& context, SequenceId root)
      : GenerationTask(context, root), search_(context.request.params), beams_{{root, {}}} {}

  void take(const LogitRows& rows) override {
    LLAVA_CHECK(rows.size() == 1);
    const auto beam = std::ranges::find(beams_, rows.sequence, &Beam::sequence);
    LLAVA_CHECK(beam != beams_.end(), "sequence {}", rows.sequence);
    beam->logits.assign(rows.values.begin(), rows.values.end());
    const bool is_complete =
        std::ranges::none_of(beams_, [](const Beam& b) { return b.logits.empty(); });
    if (is_complete) step();
  }

  void stop(FinishReason reason) override {
    if (!sequences_.empty()) end(reason);
  }

  void exhaust(SequenceId) override { end(FinishReason::kLength); }

 private:
  struct Beam {
    SequenceId sequence = 0;
    std::vector<float> logits;
  };

  void step() {
    std::vector<std::span<const float>> logits;
    for (const Beam& beam : beams_) logits.emplace_back(beam.logits);
    const std::vector<BeamToken>& next = search_.step(logits);
    if (search_.is_over()) {
      end(search_.result().finish_reason);
      return;
    }
    ++num_tokens_;
    std::vector<Beam> extended(next.size());
    // Forks first: a parent's own continuation changes it.
    std::vector<bool> is_continued(beams_.size(), false);
    for (std::size_t i = 0; i < next.size(); ++i) {
      const std::size_t parent = next[i].parent;
      const bool is_first = !is_continued[parent];
      is_continued[parent] = true;
      extended[i].sequence = is_first ? beams_[parent].sequence : fork(beams_[parent].sequence);
    }
    for (std::size_t i = 0; i < beams_.size(); ++i) {
      if (!is_continued[i]) finish(beams_[i].sequence);
    }
    for (std::size_t i = 0; i < next.size(); ++i) {
      context_.scheduler.append(extended[i].sequence, {&next[i].id, 1});
    }
    beams_ = std::move(extended);
  }

  void end(FinishReason reason) {
    while (!sequences_.empty()) finish(sequences_.back());
    const Generated best = search_.result();
    num_tokens_ = static_cast<int32_t>(best.ids.size());
    AnswerDelta delta;
    delta.finish_reason = reason;
    delta.score = best.score;
    text::StreamDecoder decoder(context_.tokenizer, context_.request.skips_special_tokens);
    StopChecker checker(context_.request.stop, context_.request.includes_stop_string);
    for (const int32_t id : best.ids) {
      delta.tokens.push_back({.id = id, .logprob = 0, .top = {}});
      if (id < context_.tokenizer.size()) delta.text += checker.push(decoder.push(id));
      if (!checker.is_stopped()) continue;
      delta.finish_reason = FinishReason::kStopString;
      break;
    }
    delta.text += checker.push(decoder.finish());
    delta.text += checker.finish();
    delta.stop_string = checker.matched().value_or("");
    context_.stream.push(std::move(delta));
  }

  BeamSearch search_;
  std::vector<Beam> beams_;
};

}  // namespace

std::unique_ptr<GenerationTask> make_beam_task(const TaskContext& context, SequenceId root) {
  return std::make_unique<BeamTask>(context, root);
}

}  // namespace llava::engine
