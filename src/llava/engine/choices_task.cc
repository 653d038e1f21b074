// SPDX-License-Identifier: Apache-2.0
//
// Greedy or sampled answers, `num_choices` of them from one prompt. With drafts, the positions of
// several guessed tokens are computed in one step; each position's token is then chosen exactly as
// without them, and the first wrong guess ends the step's gain.
#include <algorithm>
#include <optional>

#include "llava/core/check.h"
#include "llava/engine/generation_task.h"
#include "llava/engine/prompt_lookup.h"
#include "llava/engine/stop.h"
#include "llava/text/stream_decoder.h"

namespace llava::engine {
namespace {

// The prompt's ids with its pictures marked.
std::vector<int32_t> prompt_text(const text::MultimodalSequence& prompt) {
  std::vector<int32_t> ids = prompt.ids;
  for (const text::ImageSpan& span : prompt.images) {
    std::fill_n(ids.begin() + span.offset, span.num_tokens, -1);
  }
  return ids;
}

class Choice {
 public:
  Choice(const TaskContext& context, int32_t choice_index, SequenceId own_sequence)
      : index(choice_index),
        sequence(own_sequence),
        chooser_(context.request.params.sampling,
                 {.end_ids = context.request.params.end_ids,
                  .penalty_ids = context.request.params.penalty_ids,
                  .num_ids = context.request.params.num_allowed_ids,
                  .choice_index = choice_index}),
        decoder_(context.tokenizer, context.request.skips_special_tokens),
        checker_(context.request.stop, context.request.includes_stop_string) {
    if (context.request.grammar != nullptr) matcher_.emplace(context.request.grammar);
    if (context.max_draft_tokens > 0) {
      lookup_.emplace(PromptLookupParams{.max_draft = context.max_draft_tokens},
                      prompt_text(context.request.prompt));
    }
  }

  /// Chooses the next token and adds it to `delta`, with the finish reason if it is the last.
  int32_t advance(const TaskContext& context, std::span<float> logits, AnswerDelta& delta) {
    const GenerationParams& params = context.request.params;
    TokenChoice chosen = chooser_.choose(
        logits, context.scratch, matcher_ ? matcher_->allowed() : std::span<const uint64_t>());
    const int32_t id = chosen.id;
    chooser_.accept(id);
    if (matcher_) LLAVA_CHECK(matcher_->accept(id), "token {} is not of the grammar", id);
    if (lookup_) lookup_->append(id);
    ++num_tokens_;
    delta.tokens.push_back(std::move(chosen));
    // Rows beyond the vocabulary pad published tables; like the published decoders, they are no
    // text.
    if (id < context.tokenizer.size()) delta.text += checker_.push(decoder_.push(id));
    if (std::ranges::find(params.end_ids, id) != params.end_ids.end()) {
      end(FinishReason::kEndToken, delta);
    } else if (checker_.is_stopped()) {
      end(FinishReason::kStopString, delta);
    } else if (num_tokens_ >= params.max_new_tokens) {
      end(FinishReason::kLength, delta);
    }
    return id;
  }

  /// Adds the held-back text and the reason.
  void end(FinishReason reason, AnswerDelta& delta) {
    delta.text += checker_.push(decoder_.finish());
    delta.text += checker_.finish();
    // The last characters may complete a stop string after all.
    delta.finish_reason = checker_.is_stopped() ? FinishReason::kStopString : reason;
    delta.stop_string = checker_.matched().value_or("");
  }

  /// Guesses at what follows.
  std::vector<int32_t> draft(const TaskContext& context) {
    if (!lookup_) return {};
    const int32_t room = context.request.params.max_new_tokens - num_tokens_ - 1;
    const auto guess = lookup_->draft(std::max(0, room));
    return {guess.begin(), guess.end()};
  }
  void report(int32_t num_drafted, int32_t num_accepted) {
    if (lookup_) lookup_->report(num_drafted, num_accepted);
  }

  int32_t index;
  SequenceId sequence;
  std::vector<int32_t> drafts;

 private:
  TokenChooser chooser_;
  text::StreamDecoder decoder_;
  StopChecker checker_;
  std::optional<text::grammar::Matcher> matcher_;
  std::optional<PromptLookup> lookup_;
  int32_t num_tokens_ = 0;
};

class ChoicesTask final : public GenerationTask {
 public:
  ChoicesTask(const TaskContext& context, SequenceId root) : GenerationTask(context, root) {
    choices_.emplace_back(context_, 0, root);
  }

  void take(const LogitRows& rows) override {
    if (!has_forked_) {
      has_forked_ = true;
      for (int32_t i = 1; i < context_.request.num_choices; ++i) {
        choices_.emplace_back(context_, i, fork(choices_.front().sequence));
      }
      for (Choice& choice : choices_) advance(choice, rows);
    } else {
      advance(choice_of(rows.sequence), rows);
    }
  }

  void stop(FinishReason reason) override {
    // Choices that were to be forked from the prompt end with it.
    const int32_t num_unborn = has_forked_ ? 0 : context_.request.num_choices - 1;
    while (!sequences_.empty()) end(choice_of(sequences_.front()), reason);
    for (int32_t i = 1; i <= num_unborn; ++i) {
      AnswerDelta delta;
      delta.choice = i;
      delta.finish_reason = reason;
      context_.stream.push(std::move(delta));
    }
  }

  void exhaust(SequenceId sequence) override { end(choice_of(sequence), FinishReason::kLength); }

 private:
  Choice& choice_of(SequenceId sequence) {
    const auto it = std::ranges::find(choices_, sequence, &Choice::sequence);
    LLAVA_CHECK(it != choices_.end(), "sequence {}", sequence);
    return *it;
  }

  void end(Choice& choice, FinishReason reason) {
    AnswerDelta delta;
    delta.choice = choice.index;
    choice.end(reason, delta);
    finish(choice.sequence);
    context_.stream.push(std::move(delta));
  }

  // Rows follow the last accepted token and the drafts behind it.
  void advance(Choice& choice, const LogitRows& rows) {
    LLAVA_CHECK(rows.size() == static_cast<int32_t>(choice.drafts.size()) + 1,
                "{} rows for {} drafts", rows.size(), choice.drafts.size());
    AnswerDelta delta;
    delta.choice = choice.index;
    const auto num_drafts = static_cast<int32_t>(choice.drafts.size());
    int32_t num_accepted = 0;
    int32_t id = 0;
    for (int32_t i = 0; i <= num_drafts; ++i) {
      id = choice.advance(context_, rows.row(i), delta);
      ++num_tokens_;
      if (delta.finish_reason || i == num_drafts) break;
      if (choice.drafts[static_cast<std::size_t>(i)] != id) break;
      ++num_accepted;
    }
    const bool is_finished = delta.finish_reason.has_value();
    num_draft_tokens_ += num_drafts;
    num_accepted_tokens_ += num_accepted;
    if (num_drafts > 0) {
      choice.report(num_drafts, num_accepted);
      context_.scheduler.truncate(choice.sequence, rows.first_position + 1 + num_accepted);
    }
    if (is_finished) {
      finish(choice.sequence);
    } else {
      choice.drafts = choice.draft(context_);
      std::vector<int32_t> next{id};
      next.insert(next.end(), choice.drafts.begin(), choice.drafts.end());
      context_.scheduler.append(choice.sequence, next);
    }
    context_.stream.push(std::move(delta));
  }

  std::vector<Choice> choices_;
  bool has_forked_ = false;
};

}  // namespace

std::unique_ptr<GenerationTask> make_choices_task(const TaskContext& context, SequenceId root) {
  return std::make_unique<ChoicesTask>(context, root);
}

}  // namespace llava::engine
