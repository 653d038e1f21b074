// SPDX-License-Identifier: Apache-2.0
//
// PrefixTree: which keys and values are already computed, as a radix tree over symbols. Plain
// integers; the pages' contents are the runner's.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llava/engine/kv_blocks.h"
#include "llava/engine/symbols.h"

namespace llava::engine {

/// A hold on a path of the tree: its pages stay while it is held. Given back with unlock.
struct PrefixLock {
  int32_t node = -1;
  int32_t num_pages = 0;

  bool is_held() const noexcept { return node >= 0; }
};

/// Counters since construction.
struct PrefixTreeCounters {
  int64_t queries = 0;
  int64_t query_tokens = 0;
  int64_t hit_tokens = 0;
  int64_t inserted_pages = 0;
  int64_t duplicate_pages = 0;
  int64_t evicted_pages = 0;
};

/// A radix tree of full pages under one root for each cache scope. It holds one reference to each
/// of its pages. Edges are compared symbol by symbol, never by a hash. Costs: match and insert walk
/// the symbols once; eviction is logarithmic in the number of leaves that nobody holds.
///
/// Threads: one thread at a time.
class PrefixTree {
 public:
  /// Keeps a reference to `blocks`, whose page size is that of the tree.
  explicit PrefixTree(KvBlocks& blocks);
  PrefixTree(const PrefixTree&) = delete;
  PrefixTree& operator=(const PrefixTree&) = delete;

  /// Finds the longest cached prefix of a prompt, appends its pages to `pages` and locks it.
  ///
  /// At least one symbol is left over, so that there is something to compute logits from: a prompt
  /// of L symbols matches floor(min(common, L - 1) / page size) pages. `scope` names what keys and
  /// values depend on besides the symbols (model, adapter, salt, KV dtype).
  PrefixLock match(std::string_view scope, std::span<const Symbol> symbols,
                   std::vector<int32_t>& pages);
  /// Tokens that `match` would find; changes nothing.
  int32_t peek(std::string_view scope, std::span<const Symbol> symbols) const;

  /// Puts the full pages of a sequence behind `lock` into the tree and moves the lock to their end.
  ///
  /// `symbols` are the sequence's whose keys and values are written, `pages` its page table; both
  /// from the beginning, with what `lock` already covers. The tree takes over the sequence's
  /// reference to each full page beyond the lock; of a page that the tree has already under another
  /// number, it gives that reference back to `blocks` and puts its own page's number into `pages`.
  /// The rest of the table (an unfinished page) stays the sequence's.
  void insert(PrefixLock& lock, std::span<const Symbol> symbols, std::span<int32_t> pages);

  /// A second lock on the same path, for a fork.
  PrefixLock share(const PrefixLock& lock);
  /// Gives a lock back. What nobody holds any more may be evicted, least recently given back first.
  void unlock(PrefixLock& lock);

  /// Frees at least `num_pages` pages if so many are evictable, the ends of the least recently used
  /// paths first. Returns how many pages left the tree.
  int32_t evict(int32_t num_pages);

  /// Holds a path under a name until unpin; a name pinned before moves.
  void pin(std::string name, const PrefixLock& lock);
  /// Whether there was such a name.
  bool unpin(std::string_view name);
  /// Pages that all pins hold when `name` holds these symbols and nothing else.
  int32_t num_pages_if_pinned(std::string_view name, std::string_view scope,
                              std::span<const Symbol> symbols) const;
  /// Locks as many whole pages of `symbols` as are cached, up to all of them.
  PrefixLock lock_whole(std::string_view scope, std::span<const Symbol> symbols);
  /// The lock of a pinned name, or null.
  const PrefixLock* find_pin(std::string_view name) const;
  const std::map<std::string, PrefixLock, std::less<>>& pins() const { return pins_; }

  /// Symbols and pages of a locked path from its root, for saving it.
  void collect(const PrefixLock& lock, std::vector<Symbol>& symbols,
               std::vector<int32_t>& pages) const;

  int32_t num_pages() const noexcept { return num_pages_; }
  /// Pages that nobody holds.
  int32_t num_evictable() const noexcept { return num_evictable_; }
  int64_t num_tokens() const noexcept { return int64_t{num_pages_} * page_size_; }
  const PrefixTreeCounters& counters() const noexcept { return counters_; }

  /// Checks every invariant of the structure. Throws: Error(kInternal).   For tests: walks it all.
  void check_consistency() const;

 private:
  // The symbols of a child's first page; they lie in the child.
  struct PageLess {
    bool operator()(std::span<const Symbol> a, std::span<const Symbol> b) const;
  };
  struct Node {
    int32_t parent = -1;  // -1: a root, which has no pages
    // Locks that end here, and children that are held.
    int32_t holders = 0;
    // Clock of the moment it was last given back.
    uint64_t last_used = 0;
    std::vector<Symbol> symbols;
    std::vector<int32_t> pages;
    std::map<std::span<const Symbol>, int32_t, PageLess> children;
    // Of a root.
    std::string scope;
  };

  struct Position {
    int32_t node = -1;
    int32_t num_pages = 0;  // matched from the root
    int32_t in_node = 0;    // of them in this node; all of its own unless the walk ended inside it
  };

  Node& at(int32_t node) { return nodes_[static_cast<std::size_t>(node)]; }
  const Node& at(int32_t node) const { return nodes_[static_cast<std::size_t>(node)]; }
  std::span<const Symbol> page_of(std::span<const Symbol> symbols, int32_t page) const;
  std::span<const Symbol> first_page(const Node& node) const;

  PrefixLock lock_path(std::string_view scope, std::span<const Symbol> symbols, int32_t max_tokens);
  Position descend(Position from, std::span<const Symbol> symbols, int32_t max_pages) const;
  void check_node(int32_t node, std::vector<int32_t>& references, int32_t& num_evictable,
                  std::size_t& num_leaves) const;
  int32_t new_node();
  void free_node(int32_t node);
  int32_t root_of(std::string_view scope);
  // Cuts a node behind `num_pages` of its pages; returns the new upper part.
  int32_t split(int32_t node, int32_t num_pages);
  void append(PrefixLock& lock, std::span<const Symbol> symbols, std::span<const int32_t> pages);
  void hold(int32_t node);
  void let_go(int32_t node);
  void remove_leaf(int32_t node);

  KvBlocks& blocks_;
  int32_t page_size_;
  std::deque<Node> nodes_;
  std::vector<int32_t> free_nodes_;
  std::map<std::string, int32_t, std::less<>> roots_;
  std::map<std::string, PrefixLock, std::less<>> pins_;
  // Leaves that nobody holds, by the time they were given back.
  std::set<std::pair<uint64_t, int32_t>> evictable_leaves_;
  uint64_t clock_ = 0;
  int32_t num_pages_ = 0;
  int32_t num_evictable_ = 0;
  PrefixTreeCounters counters_;
};

}  // namespace llava::engine
