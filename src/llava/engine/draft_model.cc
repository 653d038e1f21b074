// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/draft_model.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <iterator>
#include <utility>

#include "llava/core/check.h"
#include "llava/core/log.h"
#include "llava/engine/logprobs.h"

namespace llava::engine {
namespace {

std::vector<Symbol> symbols_of(std::span<const int32_t> ids) {
  std::vector<Symbol> symbols;
  symbols.reserve(ids.size());
  for (const int32_t id : ids) symbols.push_back({.image = 0, .value = id});
  return symbols;
}

}  // namespace

DraftModel::DraftModel(const DraftModelConfig& config, std::unique_ptr<Runner> runner)
    : config_(config), runner_(std::move(runner)) {}

DraftModel::Entry& DraftModel::entry_of(SequenceId sequence) {
  const auto it = std::ranges::find_if(
      entries_, [&](const auto& item) { return item.second.sequence == sequence; });
  LLAVA_CHECK(it != entries_.end(), "sequence {}", sequence);
  return it->second;
}

bool DraftModel::is_any_wanted() const {
  return std::ranges::any_of(entries_, [](const auto& item) { return item.second.num_wanted > 0; });
}

bool DraftModel::is_prompt_underway(const Entry& entry) const {
  return std::ranges::any_of(entries_, [&](const auto& item) {
    const Entry& other = item.second;
    return other.request == entry.request && other.sequence && !other.is_caught_up;
  });
}

void DraftModel::propose() {
  if (!is_any_wanted()) return;
  try {
    if (!scheduler_) {
      scheduler_.emplace(config_.scheduler, config_.num_pages, /*encoder_cache_bytes=*/0,
                         /*encoder_bytes_per_token=*/1);
    }
    for (auto& [id, entry] : entries_) {
      if (entry.num_wanted == 0 || entry.is_given_up) continue;
      if (!entry.sequence) {
        admit(id, entry);
      } else {
        give_text(entry);
      }
    }
    while (is_any_wanted()) {
      const StepPlan plan = scheduler_->plan(/*now_ms=*/0);
      for (const SequenceId sequence : scheduler_->take_exhausted()) give_up(entry_of(sequence));
      run_step(plan);
      // What only catches up now goes on with the next call.
      const bool has_guessed = std::ranges::any_of(
          plan.items, [](const StepItem& item) { return item.num_logits() > 0; });
      if (!has_guessed) break;
    }
    for (auto& [id, entry] : entries_) entry.num_wanted = 0;
  } catch (const std::exception& error) {
    start_over(error.what());
  }
}

void DraftModel::admit(uint64_t id, Entry& entry) {
  if (entry.text.empty() || is_prompt_underway(entry)) {
    entry.num_wanted = 0;
    return;
  }
  const auto num_tokens = static_cast<int32_t>(entry.text.size());
  if (num_tokens >= std::min(config_.context_length, scheduler_->capacity_tokens())) {
    give_up(entry);
    return;
  }
  entry.sequence = scheduler_->add({.owner = id,
                                    .client = {},
                                    .priority = 0,
                                    .cache_scope = {},
                                    .prompt = symbols_of(entry.text),
                                    .max_new_tokens = config_.context_length - num_tokens,
                                    .arrival_ms = static_cast<int64_t>(id)});
  entry.given = entry.text;
  entry.num_prompt = entry.text.size();
}

// Makes the sequence that of the text.
void DraftModel::give_text(Entry& entry) {
  if (static_cast<int32_t>(entry.text.size()) >= config_.context_length) {
    give_up(entry);
    return;
  }
  const auto end_of_given = std::ranges::mismatch(entry.given, entry.text).in1;
  auto num_common = static_cast<std::size_t>(end_of_given - entry.given.begin());
  if (num_common == entry.text.size() && entry.is_caught_up) {
    // Nothing new (the answer's newest token is none that this model knows): the last one again.
    if (num_common == entry.num_prompt) {
      entry.num_wanted = 0;
      return;
    }
    --num_common;
  }
  scheduler_->truncate(*entry.sequence, static_cast<int32_t>(num_common));
  scheduler_->append(*entry.sequence, std::span(entry.text).subspan(num_common));
  entry.given = entry.text;
}

void DraftModel::give_up(Entry& entry) {
  if (entry.sequence) scheduler_->finish(*entry.sequence);
  entry.sequence.reset();
  entry.given.clear();
  entry.num_wanted = 0;
  entry.is_given_up = true;
}

void DraftModel::run_step(const StepPlan& plan) {
  if (!plan.items.empty()) runner_->run(plan, logits_);
  scheduler_->complete(plan);
  int64_t num_rows = 0;
  for (const StepItem& item : plan.items) {
    num_rows += item.num_logits();
    if (item.num_logits() == 0) continue;
    const auto end = item.num_past + static_cast<int32_t>(item.symbols.size());
    if (end < scheduler_->num_tokens(item.sequence)) continue;
    Entry& entry = entry_of(item.sequence);
    entry.is_caught_up = true;
    if (entry.num_wanted > 0) guess(entry, logits_.row(num_rows - 1));
  }
}

// Takes the most likely token, unless all guesses together are less likely than a guess costs.
void DraftModel::guess(Entry& entry, std::span<const float> logits) {
  logits = logits.first(std::min(logits.size(), static_cast<std::size_t>(config_.num_ids)));
  const auto best = std::ranges::max_element(logits);
  if (!std::isfinite(*best)) {
    entry.num_wanted = 0;
    return;
  }
  entry.probability *= std::exp(static_cast<double>(*best) - log_sum_exp(logits));
  if (!(entry.probability > config_.cost_per_token)) {
    entry.num_wanted = 0;
    return;
  }
  const auto id = static_cast<int32_t>(best - logits.begin());
  entry.guesses.push_back(id);
  const auto num_guesses = static_cast<int32_t>(entry.guesses.size());
  const auto num_tokens = static_cast<int32_t>(entry.given.size());
  if (num_guesses == entry.num_wanted || num_tokens + 1 >= config_.context_length) {
    entry.num_wanted = 0;
    return;
  }
  scheduler_->append(*entry.sequence, {&id, 1});
  entry.given.push_back(id);
}

void DraftModel::start_over(const std::string& reason) {
  scheduler_.reset();
  for (auto& [id, entry] : entries_) {
    entry.sequence.reset();
    entry.num_wanted = 0;
    entry.guesses.clear();
    entry.is_given_up = true;
  }
  log_warning("draft_model_failed", {{"reason", reason}});
}

void DraftModel::end(uint64_t id) noexcept {
  const auto it = entries_.find(id);
  const std::optional<SequenceId> sequence = it->second.sequence;
  entries_.erase(it);
  if (!sequence) return;
  try {
    scheduler_->finish(*sequence);
  } catch (...) {
    // Half finished; the log may be what failed.
    try {
      start_over("out of memory at the end of a sequence");
    } catch (...) {
    }
  }
}

DraftSequence::DraftSequence(DraftModel& model, uint64_t request, std::span<const int32_t> text)
    : model_(&model), id_(++model.last_id_) {
  DraftModel::Entry entry;
  entry.request = request;
  std::ranges::copy_if(text, std::back_inserter(entry.text),
                       [&](int32_t id) { return model.knows(id); });
  model.entries_.emplace(id_, std::move(entry));
}

DraftSequence::DraftSequence(DraftSequence&& other) noexcept
    : model_(std::exchange(other.model_, nullptr)), id_(other.id_) {}

DraftSequence::~DraftSequence() {
  if (model_ != nullptr) model_->end(id_);
}

void DraftSequence::append(int32_t id) {
  if (model_->knows(id)) model_->entries_.at(id_).text.push_back(id);
}

void DraftSequence::want(int32_t count) {
  DraftModel::Entry& entry = model_->entries_.at(id_);
  entry.guesses.clear();
  entry.probability = 1;
  entry.num_wanted = entry.is_given_up ? 0 : count;
}

std::vector<int32_t> DraftSequence::take() {
  return std::exchange(model_->entries_.at(id_).guesses, {});
}

}  // namespace llava::engine
