// SPDX-License-Identifier: Apache-2.0
//
// The tokens of a vocabulary by their bytes, in the order in which a grammar tries them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llava/text/grammar/automaton.h"
#include "llava/text/tokenizer.h"

namespace llava::text::grammar {

/// A trie of tokens as one array in depth-first order.
class TokenTrie {
 public:
  struct Node {
    uint32_t end = 0;          ///< first node behind those below this one
    uint32_t first_token = 0;  ///< its tokens go up to the next node's first one
    uint16_t depth = 0;        ///< bytes from the root, at least 1
    uint8_t byte = 0;
  };
  struct Entry {
    std::string bytes;
    int32_t id = 0;
  };

  TokenTrie() = default;
  /// Entries without bytes or with more than 65535 are left out.
  explicit TokenTrie(std::vector<Entry> entries);

  std::span<const Node> nodes() const noexcept { return {nodes_.data(), nodes_.size() - 1}; }
  std::span<const int32_t> tokens(std::size_t node) const noexcept {
    return std::span(tokens_).subspan(nodes_[node].first_token,
                                      nodes_[node + 1].first_token - nodes_[node].first_token);
  }
  std::size_t depth() const noexcept { return depth_; }

 private:
  std::vector<Node> nodes_ = {Node{}};  ///< and one behind the last
  std::vector<int32_t> tokens_;
  std::size_t depth_ = 0;
};

/// What grammars need to know of a tokenizer. Special tokens are no text and never allowed, but for
/// those that end the answer.
///
/// Threads: const, safe to share.
class Vocabulary {
 public:
  /// `num_ids` is the number of logits that may be chosen from, at most what the tokenizer has.
  Vocabulary(const Tokenizer& tokenizer, std::vector<int32_t> end_ids, int32_t num_ids);

  /// Tokens behind other text, and as the first of an answer, where some tokenizers drop a space.
  const TokenTrie& tokens() const noexcept { return tokens_; }
  const TokenTrie& first_tokens() const noexcept {
    return first_differs_ ? first_tokens_ : tokens_;
  }
  /// The bytes a token adds; empty for those that no grammar allows.
  std::string_view bytes(int32_t id, bool is_first) const;
  bool is_end(int32_t id) const;
  std::span<const int32_t> end_ids() const noexcept { return end_ids_; }
  /// Words of a mask with a bit for each id.
  std::size_t num_words() const noexcept { return (bytes_.size() + 63) / 64; }
  int32_t num_ids() const noexcept { return static_cast<int32_t>(bytes_.size()); }
  /// Bytes that are tokens of their own, so that any text of them can be written.
  const ByteSet& writable() const noexcept { return writable_; }

 private:
  std::vector<int32_t> end_ids_;
  std::vector<std::string> bytes_;
  std::vector<std::string> first_bytes_;  ///< empty if no token differs
  TokenTrie tokens_;
  TokenTrie first_tokens_;
  bool first_differs_ = false;
  ByteSet writable_;
};

}  // namespace llava::text::grammar
