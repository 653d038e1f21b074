// SPDX-License-Identifier: Apache-2.0
//
// The life of a request in the engine: taken from the inbox, advanced by logits, ended.
#include <algorithm>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/engine/engine_loop.h"

namespace llava::engine {

void EngineLoop::take_arrivals() {
  while (std::optional<Arrival> arrival = inbox_.next()) {
    const std::shared_ptr<AnswerStream> stream = arrival->stream;
    const std::size_t num_tokens = arrival->request.prompt.ids.size();
    try {
      if (!scheduler_) open_scheduler();
      begin(std::move(*arrival));
    } catch (...) {
      // It may have come any way.
      std::erase_if(active_, [&](const auto& entry) { return entry.second->stream == stream; });
      inbox_.leave_queue(num_tokens);
      stream->fail(as_error(std::current_exception()));
      count(&EngineStats::failed);
      throw;
    }
  }
}

void EngineLoop::begin(Arrival arrival) {
  auto active = std::make_unique<Active>();
  active->number = ++last_number_;
  active->request = std::move(arrival.request);
  active->stream = std::move(arrival.stream);
  active->submitted = arrival.time;
  active->is_open = std::move(arrival.is_open);
  for (const PreparedImage& image : active->request.images) {
    active->image_numbers.push_back(registry_.intern(image.key));
  }
  active->usage.prompt_tokens = static_cast<int32_t>(active->request.prompt.ids.size());
  std::vector<Symbol> symbols = symbols_of(*active);
  if (active->request.pin_is_optional && !active->request.pin.empty() &&
      pages_with_pin(active->request, symbols) > scheduler_->max_pinned_pages()) {
    active->request.pin.clear();
  }
  if (const std::exception_ptr refusal = find_no_room(active->request, symbols)) {
    inbox_.leave_queue(active->request.prompt.ids.size());
    count(&EngineStats::rejected);
    active->stream->fail(refusal);
    return;
  }
  restore_prefix(active->request, symbols);
  active->root =
      scheduler_->add({.owner = active->number,
                       .client = active->request.client,
                       .priority = active->request.priority,
                       .cache_scope = active->request.cache_salt,
                       .prompt = std::move(symbols),
                       .max_new_tokens = active->request.params.max_new_tokens,
                       .arrival_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                                         arrival.time.time_since_epoch())
                                         .count()});
  active->task = make_task({.scheduler = *scheduler_,
                            .tokenizer = tokenizer_,
                            .request = active->request,
                            .stream = *active->stream,
                            .scratch = scratch_,
                            .max_draft_tokens = config_.max_draft_tokens,
                            .draft_model = draft_model_.get(),
                            .request_number = active->number},
                           active->root);
  const uint64_t number = active->number;
  active_.emplace(number, std::move(active));
  note_owners(*active_.at(number));
}

std::vector<Symbol> EngineLoop::symbols_of(const Active& active) {
  std::vector<Symbol> symbols;
  symbols.reserve(active.request.prompt.ids.size());
  for (const int32_t id : active.request.prompt.ids) symbols.push_back({.image = 0, .value = id});
  for (const text::ImageSpan& span : active.request.prompt.images) {
    for (int32_t i = 0; i < span.num_tokens; ++i) {
      symbols[static_cast<std::size_t>(span.offset + i)] = {
          .image = active.image_numbers[static_cast<std::size_t>(span.image)], .value = i};
    }
  }
  return symbols;
}

void EngineLoop::note_owners(const Active& active) {
  for (const SequenceId sequence : active.task->sequences()) owners_[sequence] = active.number;
}

EngineLoop::Active* EngineLoop::owner_of(SequenceId sequence) {
  const auto owner = owners_.find(sequence);
  return owner == owners_.end() ? nullptr : active_.at(owner->second).get();
}

EngineLoop::Active* EngineLoop::find_image(uint64_t image) {
  for (const auto& [number, active] : active_) {
    if (std::ranges::find(active->image_numbers, image) != active->image_numbers.end()) {
      return active.get();
    }
  }
  return nullptr;
}

void EngineLoop::advance(Active& active, const LogitRows& rows) {
  const int32_t num_before = active.task->num_tokens();
  try {
    active.task->take(rows);
  } catch (const Error&) {
    drop(active, std::current_exception());
    count(&EngineStats::failed);
    return;
  }
  if (!active.first_token) active.first_token = Clock::now();
  generated_tokens_ += active.task->num_tokens() - num_before;
  if (active.task->sequences().empty()) {
    count(&EngineStats::finished);
    retire(active);
  } else {
    note_owners(active);
  }
}

void EngineLoop::end_unwanted() {
  std::vector<uint64_t> cancelled, slow;
  for (const auto& [number, active] : active_) {
    if (active->stream->is_cancelled()) {
      cancelled.push_back(number);
      continue;
    }
    const auto [num_bytes, age] = active->stream->unread();
    const bool is_too_much =
        config_.max_unread_kb > 0 && num_bytes > std::size_t{1024} * config_.max_unread_kb;
    const bool is_too_old = config_.max_unread_ms > 0 && age.count() > config_.max_unread_ms;
    if (is_too_much || is_too_old) slow.push_back(number);
  }
  for (const uint64_t number : cancelled) {
    Active& active = *active_.at(number);
    active.task->stop(FinishReason::kCancelled);
    count(&EngineStats::aborted);
    retire(active);
  }
  for (const uint64_t number : slow) {
    count(&EngineStats::aborted);
    drop(*active_.at(number),
         std::make_exception_ptr(
             Error(ErrorCode::kCancelled, "the answer was not fetched fast enough and was ended")));
  }
}

void EngineLoop::exhaust(SequenceId sequence) {
  Active* const active = owner_of(sequence);
  if (active == nullptr) return;
  active->task->exhaust(sequence);
  if (active->task->sequences().empty()) return retire(*active);
  active->stream->announce();
}

void EngineLoop::retire(Active& active) {
  const auto now = Clock::now();
  active.usage.completion_tokens = active.task->num_tokens();
  active.usage.draft_tokens = active.task->num_draft_tokens();
  active.usage.accepted_tokens = active.task->num_accepted_tokens();
  if (active.first_token) {
    active.usage.first_token_ms = ms_between(active.submitted, *active.first_token);
    active.usage.decode_ms = ms_between(*active.first_token, now);
  }
  draft_tokens_ += active.usage.draft_tokens;
  accepted_tokens_ += active.usage.accepted_tokens;
  log_debug("request", {{"id", active.request.id},
                        {"prompt_tokens", active.usage.prompt_tokens},
                        {"cached_tokens", active.usage.cached_tokens},
                        {"completion_tokens", active.usage.completion_tokens},
                        {"first_token_ms", active.usage.first_token_ms},
                        {"total_ms", ms_between(active.submitted, now)}});
  active.stream->end(active.usage);
  forget(active);
}

void EngineLoop::forget(Active& active) {
  if (!active.started) inbox_.leave_queue(active.request.prompt.ids.size());
  std::erase_if(owners_, [&](const auto& entry) { return entry.second == active.number; });
  active_.erase(active.number);
}

}  // namespace llava::engine
