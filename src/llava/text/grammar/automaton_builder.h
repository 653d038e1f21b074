// SPDX-License-Identifier: Apache-2.0
//
// From a grammar's expressions to the states of its automaton.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llava/text/grammar/automaton.h"
#include "llava/text/grammar/syntax.h"
#include "llava/text/grammar/utf8_ranges.h"

namespace llava::text::grammar {

/// Fills states_ and start_ of an automaton.
class AutomatonBuilder {
 public:
  AutomatonBuilder(Automaton& automaton, const Syntax& syntax, const ByteSet& writable)
      : automaton_(automaton), syntax_(syntax), writable_(writable) {}

  /// Throws: Error(kInvalidArgument) for too many states.
  void build();
  /// Throws: Error(kInvalidArgument) naming a rule that calls itself before any byte.
  void refuse_left_recursion() const;

 private:
  uint32_t new_state();
  void add_arc(uint32_t from, ByteRange range, uint32_t target);
  void build_rule(std::size_t rule);
  uint32_t append(const Expression& expression, uint32_t from);
  uint32_t append_bytes(std::string_view text, uint32_t from);
  uint32_t append_char(const std::vector<CharRange>& ranges, uint32_t from);
  uint32_t append_repeat(const Expression& expression, uint32_t from);
  uint32_t append_part(const Expression& part, uint32_t hidden_start, uint32_t from);
  std::vector<bool> empty_rules() const;

  Automaton& automaton_;
  const Syntax& syntax_;
  const ByteSet& writable_;
  /// First states of the rules; behind them, those of repeated parts that are shared like rules.
  std::vector<uint32_t> starts_;
};

}  // namespace llava::text::grammar
