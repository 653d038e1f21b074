// SPDX-License-Identifier: Apache-2.0
//
// Greedy or sampled answers, `num_choices` of them from one prompt. With drafts, from the text
// itself or from a draft model, the positions of several guessed tokens are computed in one step;
// each position's token is then chosen exactly as without them, and the first wrong guess ends the
// step's gain.
#include <algorithm>
#include <optional>

#include "llava/core/check.h"
#include "llava/engine/draft_model.h"
#include "llava/engine/draft_pace.h"
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
      const std::vector<int32_t> prompt = prompt_text(context.request.prompt);
      lookup_.emplace(PromptLookupParams{.max_draft = context.max_draft_tokens}, prompt);
      if (context.draft_model != nullptr) {
        followed_.emplace(*context.draft_model, context.request_number, prompt);
        pace_.emplace(context.max_draft_tokens, context.draft_model->cost_per_token());
      }
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
    if (followed_) followed_->append(id);
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

  /// Guesses at what follows the newest token: from the text, or by asking the draft model, whose
  /// guesses come with take_guesses.
  void draft(const TaskContext& context) {
    if (!lookup_) return;
    const int32_t room = std::max(0, context.request.params.max_new_tokens - num_tokens_ - 1);
    const auto guess = lookup_->draft(room);
    drafts.assign(guess.begin(), guess.end());
    is_draft_of_model_ = drafts.empty() && followed_.has_value();
    if (!is_draft_of_model_) return;
    followed_->want(std::min(room, pace_->next_length()));
  }
  /// Whether the draft model had guesses; they are `drafts` now.
  bool take_guesses() {
    if (!is_draft_of_model_ || !drafts.empty()) return false;
    drafts = followed_->take();
    return !drafts.empty();
  }
  /// What became of `drafts`.
  void report() {
    const auto num_drafted = static_cast<int32_t>(drafts.size());
    if (is_draft_of_model_) {
      pace_->report(num_drafted, num_accepted);
    } else if (lookup_) {
      lookup_->report(num_drafted, num_accepted);
    }
  }

  /// Nothing will be drafted any more.
  void leave_draft_model() {
    followed_.reset();
    is_draft_of_model_ = false;
  }

  int32_t index;
  SequenceId sequence;
  std::vector<int32_t> drafts;  ///< behind the newest token of the sequence
  int32_t num_accepted = 0;     ///< of them, so far

 private:
  TokenChooser chooser_;
  text::StreamDecoder decoder_;
  StopChecker checker_;
  std::optional<text::grammar::Matcher> matcher_;
  std::optional<PromptLookup> lookup_;
  std::optional<DraftSequence> followed_;  ///< by the draft model
  std::optional<DraftPace> pace_;          ///< of the draft model's guesses
  bool is_draft_of_model_ = false;
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

  void take_guesses() override {
    for (const SequenceId sequence : sequences_) {
      Choice& choice = choice_of(sequence);
      if (choice.take_guesses()) context_.scheduler.append(sequence, choice.drafts);
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
    choice.leave_draft_model();
    finish(choice.sequence);
    context_.stream.push(std::move(delta));
  }

  // Rows follow the newest token and the drafts behind it; a step may bring only the first of them.
  void advance(Choice& choice, const LogitRows& rows) {
    const auto num_drafts = static_cast<int32_t>(choice.drafts.size());
    LLAVA_CHECK(choice.num_accepted + rows.size() <= num_drafts + 1, "{} rows for {} drafts",
                choice.num_accepted + rows.size(), num_drafts);
    AnswerDelta delta;
    delta.choice = choice.index;
    int32_t id = 0;
    bool is_decided = false;
    for (int32_t i = 0; i < rows.size() && !is_decided; ++i) {
      id = choice.advance(context_, rows.row(i), delta);
      ++num_tokens_;
      is_decided = delta.finish_reason || choice.num_accepted == num_drafts ||
                   choice.drafts[static_cast<std::size_t>(choice.num_accepted)] != id;
      if (!is_decided) ++choice.num_accepted;
    }
    if (is_decided) begin_next(choice, id, delta.finish_reason.has_value());
    context_.stream.push(std::move(delta));
  }

  // The drafts are accepted or refuted; `id` is the token behind them.
  void begin_next(Choice& choice, int32_t id, bool is_finished) {
    const auto num_drafts = static_cast<int32_t>(choice.drafts.size());
    num_draft_tokens_ += num_drafts;
    num_accepted_tokens_ += choice.num_accepted;
    if (num_drafts > 0) {
      choice.report();
      const int32_t num_refuted = num_drafts - choice.num_accepted;
      context_.scheduler.truncate(choice.sequence,
                                  context_.scheduler.num_tokens(choice.sequence) - num_refuted);
    }
    choice.drafts.clear();
    choice.num_accepted = 0;
    if (is_finished) {
      choice.leave_draft_model();
      finish(choice.sequence);
      return;
    }
    choice.draft(context_);
    std::vector<int32_t> next{id};
    next.insert(next.end(), choice.drafts.begin(), choice.drafts.end());
    context_.scheduler.append(choice.sequence, next);
  }

  std::vector<Choice> choices_;
  bool has_forked_ = false;
};

}  // namespace

std::unique_ptr<GenerationTask> make_choices_task(const TaskContext& context, SequenceId root) {
  return std::make_unique<ChoicesTask>(context, root);
}

}  // namespace llava::engine
