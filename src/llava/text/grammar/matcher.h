// SPDX-License-Identifier: Apache-2.0
//
// A compiled grammar over a vocabulary, and the place of one answer in it: which tokens may come
// next.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "llava/text/grammar/configuration_table.h"
#include "llava/text/grammar/syntax.h"
#include "llava/text/grammar/vocabulary.h"

namespace llava::text::grammar {

/// A grammar ready for use by any number of answers. Keeps the masks it has computed.
///
/// Threads: made anywhere, then used by one thread at a time.
class Grammar {
 public:
  /// What was computed is forgotten when it takes more than `max_memory_bytes`.
  ///
  /// Throws: Error(kInvalidArgument), see Automaton and ConfigurationTable.
  Grammar(const Syntax& syntax, std::shared_ptr<const Vocabulary> vocabulary,
          std::size_t max_memory_bytes = std::size_t{32} << 20);

  const Vocabulary& vocabulary() const noexcept { return *vocabulary_; }

 private:
  friend class Matcher;

  /// Configurations and their masks. Replaced by an empty one when it has grown large; whoever
  /// still uses the old one brings its configuration over.
  struct Memory {
    explicit Memory(std::shared_ptr<const Automaton> automaton) : table(std::move(automaton)) {}

    ConfigurationTable table;
    std::unordered_map<uint32_t, std::vector<uint64_t>> masks;
    std::vector<uint64_t> first_mask;
  };

  const std::shared_ptr<Memory>& memory();
  const std::vector<uint64_t>& mask(Memory& memory, uint32_t configuration, bool is_first) const;
  std::vector<uint64_t> compute_mask(ConfigurationTable& table, uint32_t configuration,
                                     const TokenTrie& tokens) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::size_t max_words_;
  std::shared_ptr<const Automaton> automaton_;
  std::shared_ptr<Memory> memory_;
};

/// One answer's place in a grammar. Copies go on by themselves.
///
/// Every token that is allowed leaves a text that can be completed, and when the text cannot go on,
/// an end token is allowed.
///
/// Threads: those of the grammar.
class Matcher {
 public:
  explicit Matcher(std::shared_ptr<Grammar> grammar);

  /// A bit for each id that may come next, bit 0 of word 0 first; valid until the next call for
  /// this or another answer of the grammar.
  ///
  /// Throws: Error(kInvalidArgument), see ConfigurationTable::next.
  std::span<const uint64_t> allowed();
  /// Takes a token; false, and nothing changes, if it is not allowed.
  ///
  /// Throws: as allowed().
  bool accept(int32_t id);

  /// True if the text so far fits the grammar as a whole.
  bool can_end() const;
  /// True once an end token was accepted.
  bool is_over() const noexcept { return is_over_; }

 private:
  void catch_up();

  std::shared_ptr<Grammar> grammar_;
  std::shared_ptr<Grammar::Memory> memory_;
  uint32_t configuration_ = ConfigurationTable::kDead;
  bool is_first_ = true;
  bool is_over_ = false;
};

}  // namespace llava::text::grammar
