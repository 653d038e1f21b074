// SPDX-License-Identifier: Apache-2.0
//
// Where a text is in a grammar: configurations, which are sets of states with the rules that wait
// for them, each stored once under a number. What a byte does to one is computed once.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llava/text/grammar/automaton.h"

namespace llava::text::grammar {

/// Lists of numbers, each stored once and known by its place in the order of first use.
class ListInterner {
 public:
  uint32_t number_of(std::vector<uint32_t> list);
  const std::vector<uint32_t>& list(uint32_t number) const { return *lists_[number]; }
  std::size_t size() const noexcept { return lists_.size(); }

 private:
  struct Hash {
    std::size_t operator()(const std::vector<uint32_t>& list) const noexcept;
  };
  std::unordered_map<std::vector<uint32_t>, uint32_t, Hash> numbers_;
  std::vector<const std::vector<uint32_t>*> lists_;
};

/// The configurations met so far of one automaton, which grows with use.
///
/// A stack of waiting rules is a linked list of frames (a state to return to, and what waits
/// below); where several may wait, a set of frames. Equal sets have equal numbers, so
/// configurations are compared by number, and ambiguous grammars do not multiply them.
///
/// Threads: one thread at a time.
class ConfigurationTable {
 public:
  /// The configuration from which nothing can follow.
  static constexpr uint32_t kDead = 0;

  explicit ConfigurationTable(std::shared_ptr<const Automaton> automaton);

  /// Before any byte.
  uint32_t start() const noexcept { return start_; }
  /// After one more byte.
  ///
  /// Throws: Error(kInvalidArgument) when the grammar is so ambiguous that the table or the work of
  /// one call of begin_work outgrows its limit.
  uint32_t next(uint32_t configuration, uint8_t byte) {
    const std::size_t place =
        std::size_t{configuration} * automaton_->num_classes() + automaton_->class_of(byte);
    const uint32_t known = next_[place];
    return known != kUnknown ? known : compute_next(configuration, byte, place);
  }
  /// True if the text may end here.
  bool can_end(uint32_t configuration) const {
    return configurations_.list(configuration).front() != 0;
  }

  /// Gives the following calls of next() together their allowance of work.
  void begin_work() noexcept;
  /// Memory in use, in 32-bit words, roughly.
  std::size_t num_words() const noexcept { return num_words_; }
  /// Counts words stored elsewhere for these configurations.
  void add_words(std::size_t count) noexcept { num_words_ += count; }
  /// The number here of a configuration of another table of the same automaton.
  uint32_t import(const ConfigurationTable& other, uint32_t configuration);

 private:
  static constexpr uint32_t kUnknown = ~uint32_t{0};
  static constexpr uint32_t kNone = ~uint32_t{0};

  uint32_t compute_next(uint32_t configuration, uint8_t byte, std::size_t place);
  void spend(std::size_t work);
  void reach(uint32_t state, uint32_t waiting);
  void follow(uint32_t state);
  void follow_calls();
  uint32_t close();
  uint32_t intern(std::vector<uint32_t> configuration);
  uint32_t frame(uint32_t state, uint32_t waiting);
  uint32_t set_of(std::vector<uint32_t> frames);
  uint32_t united(uint32_t a, uint32_t b);

  std::shared_ptr<const Automaton> automaton_;
  /// Frames are pairs of a state and a set; sets are sorted lists of frames. Set 0 is {frame 0}:
  /// nothing waits, and the end of a rule is the end of the text. A set's frames are older than it.
  ListInterner frames_;
  ListInterner sets_;
  /// Lists of 0 or 1 (the text may end), then pairs of a state and the set that waits for it.
  ListInterner configurations_;
  std::vector<uint32_t> next_;  ///< by configuration and class of byte
  std::unordered_map<uint64_t, uint32_t> unions_;
  uint32_t start_ = 0;
  std::size_t num_words_ = 0;
  std::size_t work_left_ = 0;

  // Of the configuration being computed.
  std::vector<uint32_t> waiting_;  ///< by state, the set that waits for it, or kNone
  std::vector<uint32_t> reached_;
  std::vector<uint32_t> pending_;
  std::vector<uint32_t> pending_calls_;
  std::vector<std::pair<uint32_t, uint32_t>> callers_;  ///< first states of rules, and frames
  bool can_end_ = false;
};

}  // namespace llava::text::grammar
