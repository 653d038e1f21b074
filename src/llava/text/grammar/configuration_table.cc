// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/configuration_table.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "llava/core/error.h"

namespace llava::text::grammar {
namespace {

constexpr std::size_t kMaxWords = std::size_t{1} << 24;
/// Steps of one call of begin_work: a fraction of a second. Usual masks need a few thousand.
constexpr std::size_t kMaxWork = std::size_t{1} << 18;

}  // namespace

std::size_t ListInterner::Hash::operator()(const std::vector<uint32_t>& list) const noexcept {
  uint64_t hash = 0x2545F4914F6CDD1Du * (list.size() + 1);
  for (const uint32_t value : list) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return hash;
}

uint32_t ListInterner::number_of(std::vector<uint32_t> list) {
  const auto [found, is_new] =
      numbers_.try_emplace(std::move(list), static_cast<uint32_t>(lists_.size()));
  if (is_new) lists_.push_back(&found->first);
  return found->second;
}

ConfigurationTable::ConfigurationTable(std::shared_ptr<const Automaton> automaton)
    : automaton_(std::move(automaton)), waiting_(automaton_->states().size(), kNone) {
  begin_work();
  frames_.number_of({kNone, kNone});
  sets_.number_of({0});
  intern({0});
  reach(automaton_->start(), 0);
  start_ = close();
}

void ConfigurationTable::begin_work() noexcept { work_left_ = kMaxWork; }

void ConfigurationTable::spend(std::size_t work) {
  if (work <= work_left_ && num_words_ <= kMaxWords) {
    work_left_ -= work;
    return;
  }
  fail(ErrorCode::kInvalidArgument,
       "the grammar is too ambiguous to follow: one token needs more than {} steps or {} MB; give "
       "alternatives different beginnings and avoid nested repetitions of optional parts",
       kMaxWork, kMaxWords >> 18);
}

uint32_t ConfigurationTable::frame(uint32_t state, uint32_t waiting) {
  return frames_.number_of({state, waiting});
}

uint32_t ConfigurationTable::set_of(std::vector<uint32_t> frames) {
  const std::size_t before = sets_.size();
  const std::size_t size = frames.size();
  const uint32_t number = sets_.number_of(std::move(frames));
  if (sets_.size() > before) num_words_ += 16 + size;
  return number;
}

uint32_t ConfigurationTable::united(uint32_t a, uint32_t b) {
  if (a == b) return a;
  if (a > b) std::swap(a, b);
  const auto [found, is_new] = unions_.try_emplace(uint64_t{a} << 32 | b, 0);
  if (is_new) {
    const std::vector<uint32_t>& first = sets_.list(a);
    const std::vector<uint32_t>& second = sets_.list(b);
    spend(1 + (first.size() + second.size()) / 4);
    std::vector<uint32_t> frames;
    std::set_union(first.begin(), first.end(), second.begin(), second.end(),
                   std::back_inserter(frames));
    found->second = set_of(std::move(frames));
    num_words_ += 16;
  }
  return found->second;
}

// Adds a state with what waits for it to the configuration being computed.
void ConfigurationTable::reach(uint32_t state, uint32_t waiting) {
  spend(1);
  uint32_t& known = waiting_[state];
  if (known == kNone) {
    reached_.push_back(state);
    known = waiting;
  } else {
    const uint32_t both = united(known, waiting);
    if (both == known) return;
    known = both;
  }
  pending_.push_back(state);
}

// What a state leads to without a byte, but for calls.
void ConfigurationTable::follow(uint32_t number) {
  const Automaton::State& state = automaton_->states()[number];
  const uint32_t waiting = waiting_[number];
  for (const uint32_t target : state.jumps) reach(target, waiting);
  if (!state.calls.empty()) pending_calls_.push_back(number);
  if (!state.is_final) return;
  // The list stays where it is while sets are added.
  for (const uint32_t place : sets_.list(waiting)) {
    if (place == 0) {
      can_end_ = true;
    } else {
      const std::vector<uint32_t>& frame = frames_.list(place);
      reach(frame[0], frame[1]);
    }
  }
}

// All calls that are pending. What waits for one rule is gathered first, so that one set is made of
// it and not one for each caller.
void ConfigurationTable::follow_calls() {
  callers_.clear();
  for (const uint32_t number : pending_calls_) {
    const uint32_t waiting = waiting_[number];
    for (const Automaton::Call& call : automaton_->states()[number].calls) {
      if (!automaton_->states()[call.target].only_ends()) {
        callers_.emplace_back(call.start, frame(call.target, waiting));
        continue;
      }
      // Nothing to come back for: what waits for this rule waits for the called one.
      for (const uint32_t place : sets_.list(waiting)) callers_.emplace_back(call.start, place);
    }
  }
  pending_calls_.clear();
  spend(callers_.size());
  std::sort(callers_.begin(), callers_.end());
  callers_.erase(std::unique(callers_.begin(), callers_.end()), callers_.end());
  for (auto first = callers_.begin(); first != callers_.end();) {
    const uint32_t start = first->first;
    std::vector<uint32_t> frames;
    for (; first != callers_.end() && first->first == start; ++first) {
      frames.push_back(first->second);
    }
    reach(start, set_of(std::move(frames)));
  }
}

// Completes the configuration being computed and returns its number.
uint32_t ConfigurationTable::close() {
  // Calls come last, when all that waits for them is known; else smaller sets would be left over.
  while (!pending_.empty() || !pending_calls_.empty()) {
    if (pending_.empty()) {
      follow_calls();
    } else {
      const uint32_t state = pending_.back();
      pending_.pop_back();
      follow(state);
    }
  }
  std::sort(reached_.begin(), reached_.end());
  std::vector<uint32_t> configuration{can_end_ ? 1u : 0u};
  for (const uint32_t state : reached_) {
    if (!automaton_->states()[state].arcs.empty()) {
      configuration.push_back(state);
      configuration.push_back(waiting_[state]);
    }
    waiting_[state] = kNone;
  }
  reached_.clear();
  can_end_ = false;
  return intern(std::move(configuration));
}

uint32_t ConfigurationTable::intern(std::vector<uint32_t> configuration) {
  const std::size_t size = configuration.size();
  const uint32_t number = configurations_.number_of(std::move(configuration));
  if (std::size_t{number} * automaton_->num_classes() == next_.size()) {
    next_.resize(next_.size() + automaton_->num_classes(), number == kDead ? kDead : kUnknown);
    num_words_ += 16 + size + automaton_->num_classes();
  }
  return number;
}

uint32_t ConfigurationTable::compute_next(uint32_t configuration, uint8_t byte, std::size_t place) {
  // What an error in the middle left behind.
  for (const uint32_t state : reached_) waiting_[state] = kNone;
  reached_.clear();
  pending_.clear();
  pending_calls_.clear();
  can_end_ = false;

  const std::vector<uint32_t>& list = configurations_.list(configuration);
  for (std::size_t i = 1; i < list.size(); i += 2) {
    for (const Automaton::Arc& arc : automaton_->states()[list[i]].arcs) {
      if (byte >= arc.first && byte <= arc.last) reach(arc.target, list[i + 1]);
    }
    spend(1);
  }
  const uint32_t next = close();
  next_[place] = next;
  return next;
}

uint32_t ConfigurationTable::import(const ConfigurationTable& other, uint32_t configuration) {
  const std::vector<uint32_t>& list = other.configurations_.list(configuration);
  std::map<uint32_t, uint32_t> here;  // numbers of the other table's sets; older ones first
  std::vector<uint32_t> pending;
  const auto need = [&](uint32_t set) {
    if (here.try_emplace(set, 0).second) pending.push_back(set);
  };
  for (std::size_t i = 2; i < list.size(); i += 2) need(list[i]);
  while (!pending.empty()) {
    const uint32_t set = pending.back();
    pending.pop_back();
    for (const uint32_t place : other.sets_.list(set)) {
      if (place != 0) need(other.frames_.list(place)[1]);
    }
  }
  for (auto& [set, number] : here) {
    std::vector<uint32_t> frames;
    for (const uint32_t place : other.sets_.list(set)) {
      const std::vector<uint32_t>& old = other.frames_.list(place);
      frames.push_back(place == 0 ? 0 : frame(old[0], here.at(old[1])));
    }
    std::sort(frames.begin(), frames.end());
    number = set_of(std::move(frames));
  }
  std::vector<uint32_t> copy = list;
  for (std::size_t i = 2; i < copy.size(); i += 2) copy[i] = here.at(copy[i]);
  return intern(std::move(copy));
}

}  // namespace llava::text::grammar
