// SPDX-License-Identifier: Apache-2.0
//
// A grammar as a machine over bytes: states with byte arcs inside each rule, and calls between
// rules. Every state left in it can be finished, so no accepted beginning of a text is a dead end.
#pragma once

#include <bitset>
#include <cstdint>
#include <vector>

#include "llava/text/grammar/syntax.h"

namespace llava::text::grammar {

/// Most states that a grammar may need.
inline constexpr std::size_t kMaxGrammarStates = 10000;

/// Bytes that can be written.
using ByteSet = std::bitset<256>;

/// Threads: const, safe to share.
class Automaton {
 public:
  struct Arc {
    uint8_t first = 0;
    uint8_t last = 0;
    uint32_t target = 0;
  };
  struct Call {
    uint32_t start = 0;   ///< first state of the called rule
    uint32_t target = 0;  ///< where it returns to
  };
  struct State {
    bool is_final = false;  ///< the end of a rule
    std::vector<Arc> arcs;
    std::vector<Call> calls;
    std::vector<uint32_t> jumps;  ///< to states that are reached without a byte

    /// True when nothing but the end of the rule follows, so that a caller needs no way back.
    bool only_ends() const { return is_final && arcs.empty() && calls.empty() && jumps.empty(); }
  };

  /// Texts that need a byte outside `writable` are left out of the grammar.
  ///
  /// Throws: Error(kInvalidArgument) naming the rule or the limit: a rule that calls itself before
  /// any byte, more than kMaxGrammarStates states, or no text at all.
  Automaton(const Syntax& syntax, const ByteSet& writable);

  uint32_t start() const noexcept { return start_; }
  const std::vector<State>& states() const noexcept { return states_; }
  /// Bytes that no arc tells apart have the same class, from 0 to num_classes() - 1.
  uint32_t class_of(uint8_t byte) const noexcept { return class_of_[byte]; }
  uint32_t num_classes() const noexcept { return num_classes_; }
  /// A byte of a class.
  uint8_t byte_of_class(uint32_t number) const noexcept { return byte_of_class_[number]; }

 private:
  friend class AutomatonBuilder;

  void keep_finishable();
  void find_classes();

  uint32_t start_ = 0;
  std::vector<State> states_;
  uint32_t num_classes_ = 0;
  uint8_t class_of_[256] = {};
  std::vector<uint8_t> byte_of_class_;
};

}  // namespace llava::text::grammar
