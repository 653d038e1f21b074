// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/automaton.h"

#include <algorithm>

#include "llava/core/error.h"
#include "llava/text/grammar/automaton_builder.h"

namespace llava::text::grammar {

Automaton::Automaton(const Syntax& syntax, const ByteSet& writable) {
  AutomatonBuilder builder(*this, syntax, writable);
  builder.build();
  builder.refuse_left_recursion();
  keep_finishable();
  find_classes();
}

// Drops every arc, jump and call from which the end of the rule cannot be reached.
void Automaton::keep_finishable() {
  std::vector<bool> finishes(states_.size());
  for (bool changes = true; changes;) {
    changes = false;
    for (std::size_t i = states_.size(); i-- > 0;) {
      if (finishes[i]) continue;
      const State& state = states_[i];
      const bool now = state.is_final ||
                       std::any_of(state.arcs.begin(), state.arcs.end(),
                                   [&](const Arc& arc) { return finishes[arc.target]; }) ||
                       std::any_of(state.jumps.begin(), state.jumps.end(),
                                   [&](uint32_t target) { return finishes[target]; }) ||
                       std::any_of(state.calls.begin(), state.calls.end(), [&](const Call& call) {
                         return finishes[call.start] && finishes[call.target];
                       });
      finishes[i] = now;
      changes = changes || now;
    }
  }
  if (!finishes[start_]) {
    fail(ErrorCode::kInvalidArgument,
         "no text fits the grammar: a rule has no way to end, or needs characters that the "
         "vocabulary cannot write");
  }
  for (State& state : states_) {
    std::erase_if(state.arcs, [&](const Arc& arc) { return !finishes[arc.target]; });
    std::erase_if(state.jumps, [&](uint32_t target) { return !finishes[target]; });
    std::erase_if(state.calls, [&](const Call& call) {
      return !finishes[call.start] || !finishes[call.target];
    });
  }
}

void Automaton::find_classes() {
  // A class begins wherever an arc begins or has just ended; classes with equal arcs could be
  // joined further, but few have.
  ByteSet begins;
  begins[0] = true;
  for (const State& state : states_) {
    for (const Arc& arc : state.arcs) {
      begins[arc.first] = true;
      if (arc.last < 255) begins[arc.last + 1u] = true;
    }
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (begins[byte]) {
      byte_of_class_.push_back(static_cast<uint8_t>(byte));
      ++num_classes_;
    }
    class_of_[byte] = static_cast<uint8_t>(num_classes_ - 1);
  }
}

}  // namespace llava::text::grammar
