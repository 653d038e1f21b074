// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/matcher.h"

#include <algorithm>
#include <utility>

#include "llava/core/error.h"

namespace llava::text::grammar {

Grammar::Grammar(const Syntax& syntax, std::shared_ptr<const Vocabulary> vocabulary,
                 std::size_t max_memory_bytes)
    : vocabulary_(std::move(vocabulary)),
      max_words_(max_memory_bytes / sizeof(uint32_t)),
      automaton_(std::make_shared<const Automaton>(syntax, vocabulary_->writable())),
      memory_(std::make_shared<Memory>(automaton_)) {
  const std::vector<uint64_t>& first = mask(*memory_, memory_->table.start(), /*is_first=*/true);
  if (std::all_of(first.begin(), first.end(), [](uint64_t word) { return word == 0; })) {
    fail(ErrorCode::kInvalidArgument,
         "no token of the vocabulary can begin a text of the grammar; allow other characters at "
         "its beginning");
  }
}

const std::shared_ptr<Grammar::Memory>& Grammar::memory() {
  if (memory_->table.num_words() > max_words_) memory_ = std::make_shared<Memory>(automaton_);
  return memory_;
}

const std::vector<uint64_t>& Grammar::mask(Memory& memory, uint32_t configuration,
                                           bool is_first) const {
  std::vector<uint64_t>& mask = is_first ? memory.first_mask : memory.masks[configuration];
  if (mask.empty()) {
    mask = compute_mask(memory.table, configuration,
                        is_first ? vocabulary_->first_tokens() : vocabulary_->tokens());
    memory.table.add_words(2 * mask.size());
  }
  return mask;
}

std::vector<uint64_t> Grammar::compute_mask(ConfigurationTable& table, uint32_t configuration,
                                            const TokenTrie& tokens) const {
  table.begin_work();
  std::vector<uint64_t> mask(std::max<std::size_t>(1, vocabulary_->num_words()));
  const auto allow = [&](int32_t id) {
    mask[static_cast<std::size_t>(id) / 64] |= uint64_t{1} << id % 64;
  };
  std::vector<uint32_t> path(tokens.depth() + 1);  // configurations, by bytes from the root
  path[0] = configuration;
  const std::span<const TokenTrie::Node> nodes = tokens.nodes();
  for (std::size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const uint32_t next = table.next(path[node.depth - 1u], node.byte);
    if (next == ConfigurationTable::kDead) {
      i = node.end;
      continue;
    }
    path[node.depth] = next;
    for (const int32_t id : tokens.tokens(i)) allow(id);
    ++i;
  }
  if (table.can_end(configuration)) {
    for (const int32_t id : vocabulary_->end_ids()) allow(id);
  }
  return mask;
}

Matcher::Matcher(std::shared_ptr<Grammar> grammar)
    : grammar_(std::move(grammar)),
      memory_(grammar_->memory()),
      configuration_(memory_->table.start()) {}

void Matcher::catch_up() {
  const std::shared_ptr<Grammar::Memory>& current = grammar_->memory();
  if (current == memory_) return;
  configuration_ = current->table.import(memory_->table, configuration_);
  memory_ = current;
}

std::span<const uint64_t> Matcher::allowed() {
  catch_up();
  return grammar_->mask(*memory_, configuration_, is_first_);
}

bool Matcher::accept(int32_t id) {
  catch_up();
  if (is_over_) return false;
  const Vocabulary& vocabulary = grammar_->vocabulary();
  if (vocabulary.is_end(id)) {
    is_over_ = can_end();
    return is_over_;
  }
  const std::string_view bytes = vocabulary.bytes(id, is_first_);
  if (bytes.empty()) return false;
  memory_->table.begin_work();
  uint32_t next = configuration_;
  for (const char byte : bytes) next = memory_->table.next(next, static_cast<uint8_t>(byte));
  if (next == ConfigurationTable::kDead) return false;
  configuration_ = next;
  is_first_ = false;
  return true;
}

bool Matcher::can_end() const { return memory_->table.can_end(configuration_); }

}  // namespace llava::text::grammar
