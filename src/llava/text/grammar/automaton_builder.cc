// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/automaton_builder.h"

#include <algorithm>
#include <map>
#include <string>

#include "llava/core/check.h"
#include "llava/core/error.h"

namespace llava::text::grammar {
namespace {

enum class Mark : uint8_t { kNew, kOpen, kDone };

}  // namespace

uint32_t AutomatonBuilder::new_state() {
  if (automaton_.states_.size() >= kMaxGrammarStates) {
    fail(ErrorCode::kInvalidArgument,
         "the grammar needs more than {} states: use smaller repetition counts or lengths, or "
         "fewer alternatives",
         kMaxGrammarStates);
  }
  automaton_.states_.emplace_back();
  return static_cast<uint32_t>(automaton_.states_.size()) - 1;
}

// Only the bytes of the range that can be written.
void AutomatonBuilder::add_arc(uint32_t from, ByteRange range, uint32_t target) {
  for (unsigned first = range.first; first <= range.last; ++first) {
    if (!writable_[first]) continue;
    unsigned last = first;
    while (last < range.last && writable_[last + 1]) ++last;
    automaton_.states_[from].arcs.push_back(
        {static_cast<uint8_t>(first), static_cast<uint8_t>(last), target});
    first = last;
  }
}

void AutomatonBuilder::build() {
  for (std::size_t rule = 0; rule < syntax_.rules.size(); ++rule) starts_.push_back(new_state());
  for (std::size_t rule = 0; rule < syntax_.rules.size(); ++rule) build_rule(rule);
  automaton_.start_ = starts_.at(static_cast<std::size_t>(syntax_.root));
}

void AutomatonBuilder::build_rule(std::size_t rule) {
  const uint32_t end = append(syntax_.rules[rule].expression, starts_[rule]);
  automaton_.states_[end].is_final = true;
}

// Adds states that match the expression behind `from`; returns the last one. Nothing leads back to
// `from`, so alternatives may begin at the same state.
uint32_t AutomatonBuilder::append(const Expression& expression, uint32_t from) {
  switch (expression.kind) {
    case Expression::Kind::kBytes:
      return append_bytes(expression.bytes, from);
    case Expression::Kind::kChar:
      return append_char(expression.ranges, from);
    case Expression::Kind::kSequence:
      for (const Expression& part : expression.parts) from = append(part, from);
      return from;
    case Expression::Kind::kChoice: {
      const uint32_t end = new_state();
      for (const Expression& part : expression.parts) {
        const uint32_t part_end = append(part, from);
        automaton_.states_[part_end].jumps.push_back(end);
      }
      return end;
    }
    case Expression::Kind::kRepeat:
      return append_repeat(expression, from);
    case Expression::Kind::kRule: {
      const uint32_t end = new_state();
      automaton_.states_[from].calls.push_back(
          {starts_.at(static_cast<std::size_t>(expression.rule)), end});
      return end;
    }
  }
  LLAVA_CHECK(false);
}

uint32_t AutomatonBuilder::append_bytes(std::string_view text, uint32_t from) {
  for (const char c : text) {
    const uint32_t next = new_state();
    add_arc(from, {static_cast<uint8_t>(c), static_cast<uint8_t>(c)}, next);
    from = next;
  }
  return from;
}

// Characters that end in the same ranges of bytes share the states of those.
uint32_t AutomatonBuilder::append_char(const std::vector<CharRange>& ranges, uint32_t from) {
  const uint32_t end = new_state();
  std::map<ByteRanges, uint32_t> state_before;  // what is still to come
  for (const ByteRanges& form : utf8_ranges(ranges)) {
    uint32_t target = end;
    for (std::size_t begin = form.size() - 1; begin > 0; --begin) {
      const ByteRanges rest(form.begin() + static_cast<std::ptrdiff_t>(begin), form.end());
      const auto found = state_before.find(rest);
      if (found != state_before.end()) {
        target = found->second;
        continue;
      }
      const uint32_t before = new_state();
      add_arc(before, rest.front(), target);
      state_before.emplace(rest, before);
      target = before;
    }
    add_arc(from, form.front(), target);
  }
  return end;
}

// A part that is repeated several times is built once and called.
uint32_t AutomatonBuilder::append_repeat(const Expression& expression, uint32_t from) {
  const Expression& part = expression.parts.front();
  const int32_t num_copies = std::max(expression.min, expression.max.value_or(0));
  const bool is_ascii = part.kind == Expression::Kind::kChar &&
                        (part.ranges.empty() || part.ranges.back().last < 0x80);
  const bool is_small = part.kind == Expression::Kind::kRule || is_ascii ||
                        (part.kind == Expression::Kind::kBytes && part.bytes.size() == 1);
  uint32_t hidden_start = 0;
  if (num_copies > 1 && !is_small) {
    hidden_start = new_state();
    const uint32_t end = append(part, hidden_start);
    automaton_.states_[end].is_final = true;
    starts_.push_back(hidden_start);
  }
  for (int32_t i = 0; i < expression.min; ++i) from = append_part(part, hidden_start, from);
  if (!expression.max) {
    const uint32_t loop = new_state();
    automaton_.states_[from].jumps.push_back(loop);
    const uint32_t end = append_part(part, hidden_start, loop);
    automaton_.states_[end].jumps.push_back(loop);
    return loop;
  }
  if (*expression.max <= expression.min) return from;
  const uint32_t end = new_state();
  for (int32_t i = expression.min; i < *expression.max; ++i) {
    automaton_.states_[from].jumps.push_back(end);
    from = append_part(part, hidden_start, from);
  }
  automaton_.states_[from].jumps.push_back(end);
  return end;
}

uint32_t AutomatonBuilder::append_part(const Expression& part, uint32_t hidden_start,
                                       uint32_t from) {
  if (hidden_start == 0) return append(part, from);
  const uint32_t end = new_state();
  automaton_.states_[from].calls.push_back({hidden_start, end});
  return end;
}

// A state is empty when the end of its rule can be reached from it without a byte. Rules whose
// first state is empty let their callers go on without a byte, so the two are found together.
std::vector<bool> AutomatonBuilder::empty_rules() const {
  const auto& states = automaton_.states_;
  std::vector<bool> is_empty(states.size());
  for (bool changes = true; changes;) {
    changes = false;
    for (std::size_t i = states.size(); i-- > 0;) {
      if (is_empty[i]) continue;
      const Automaton::State& state = states[i];
      const bool now =
          state.is_final ||
          std::any_of(state.jumps.begin(), state.jumps.end(),
                      [&](uint32_t target) { return is_empty[target]; }) ||
          std::any_of(state.calls.begin(), state.calls.end(), [&](const Automaton::Call& call) {
            return is_empty[call.start] && is_empty[call.target];
          });
      is_empty[i] = now;
      changes = changes || now;
    }
  }
  return is_empty;
}

void AutomatonBuilder::refuse_left_recursion() const {
  const auto& states = automaton_.states_;
  const std::vector<bool> is_empty = empty_rules();
  // Without a byte, a state leads to its jumps, to what it calls, and behind an empty call. A cycle
  // through a call grows the stack for ever; one of jumps alone is a loop without content. So the
  // search is over rules: what each can call before its first byte.
  std::map<uint32_t, std::vector<uint32_t>> calls_first;
  for (const uint32_t start : starts_) {
    std::vector<uint32_t> pending{start};
    std::vector<uint32_t>& called = calls_first[start];
    std::map<uint32_t, bool> is_visited{{start, true}};
    const auto visit = [&](uint32_t state) {
      if (!is_visited[state]) {
        is_visited[state] = true;
        pending.push_back(state);
      }
    };
    while (!pending.empty()) {
      const Automaton::State& state = states[pending.back()];
      pending.pop_back();
      for (const uint32_t target : state.jumps) visit(target);
      for (const Automaton::Call& call : state.calls) {
        called.push_back(call.start);
        if (is_empty[call.start]) visit(call.target);
      }
    }
  }
  std::map<uint32_t, Mark> marks;
  for (std::size_t number = 0; number < starts_.size(); ++number) {
    struct Visit {
      uint32_t rule;
      std::size_t next;
    };
    if (marks[starts_[number]] != Mark::kNew) continue;
    std::vector<Visit> path{{starts_[number], 0}};
    marks[starts_[number]] = Mark::kOpen;
    while (!path.empty()) {
      Visit& top = path.back();
      const std::vector<uint32_t>& called = calls_first.at(top.rule);
      if (top.next == called.size()) {
        marks[top.rule] = Mark::kDone;
        path.pop_back();
        continue;
      }
      const uint32_t next = called[top.next++];
      if (marks[next] == Mark::kOpen) {
        const auto found = std::find(starts_.begin(), starts_.end(), next);
        const auto place = static_cast<std::size_t>(found - starts_.begin());
        fail(ErrorCode::kInvalidArgument,
             "grammar rule '{}' calls itself before any text (left recursion): write the "
             "repetition with * or +, or put the recursive call behind other text",
             place < syntax_.rules.size() ? syntax_.rules[place].name : "a repeated part");
      }
      if (marks[next] == Mark::kNew) {
        marks[next] = Mark::kOpen;
        path.push_back({next, 0});
      }
    }
  }
}

}  // namespace llava::text::grammar
