// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/prefix_tree.h"

#include <algorithm>

#include "llava/core/check.h"

namespace llava::engine {

bool PrefixTree::PageLess::operator()(std::span<const Symbol> a, std::span<const Symbol> b) const {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

PrefixTree::PrefixTree(KvBlocks& blocks) : blocks_(blocks), page_size_(blocks.page_size()) {}

std::span<const Symbol> PrefixTree::page_of(std::span<const Symbol> symbols, int32_t page) const {
  const auto size = static_cast<std::size_t>(page_size_);
  return symbols.subspan(static_cast<std::size_t>(page) * size, size);
}

std::span<const Symbol> PrefixTree::first_page(const Node& node) const {
  return page_of(node.symbols, 0);
}

PrefixTree::Position PrefixTree::descend(Position from, std::span<const Symbol> symbols,
                                         int32_t max_pages) const {
  Position position = from;
  while (position.num_pages < max_pages) {
    const Node& node = at(position.node);
    const auto child = node.children.find(page_of(symbols, position.num_pages));
    if (child == node.children.end()) break;
    const Node& next = at(child->second);
    const auto num_own = static_cast<int32_t>(next.pages.size());
    int32_t matched = 1;
    while (matched < num_own && position.num_pages + matched < max_pages &&
           std::ranges::equal(page_of(next.symbols, matched),
                              page_of(symbols, position.num_pages + matched))) {
      ++matched;
    }
    position = {child->second, position.num_pages + matched, matched};
    if (matched < num_own) break;
  }
  return position;
}

PrefixLock PrefixTree::match(std::string_view scope, std::span<const Symbol> symbols,
                             std::vector<int32_t>& pages) {
  LLAVA_CHECK(!symbols.empty());
  const PrefixLock lock = lock_path(scope, symbols, static_cast<int32_t>(symbols.size() - 1));
  const std::size_t first = pages.size();
  pages.resize(first + static_cast<std::size_t>(lock.num_pages));
  auto out = pages.end();
  for (int32_t node = lock.node; node >= 0; node = at(node).parent) {
    out = std::copy_backward(at(node).pages.begin(), at(node).pages.end(), out);
  }
  ++counters_.queries;
  counters_.query_tokens += static_cast<int64_t>(symbols.size());
  counters_.hit_tokens += int64_t{lock.num_pages} * page_size_;
  return lock;
}

PrefixLock PrefixTree::lock_path(std::string_view scope, std::span<const Symbol> symbols,
                                 int32_t max_tokens) {
  const int32_t root = root_of(scope);
  Position end = descend({root, 0, 0}, symbols, max_tokens / page_size_);
  if (end.in_node < static_cast<int32_t>(at(end.node).pages.size())) {
    end.node = split(end.node, end.in_node);
  }
  hold(end.node);
  return {end.node, end.num_pages};
}

int32_t PrefixTree::peek(std::string_view scope, std::span<const Symbol> symbols) const {
  const auto root = roots_.find(scope);
  if (root == roots_.end() || symbols.empty()) return 0;
  const auto max_pages = static_cast<int32_t>(symbols.size() - 1) / page_size_;
  return descend({root->second, 0, 0}, symbols, max_pages).num_pages * page_size_;
}

void PrefixTree::insert(PrefixLock& lock, std::span<const Symbol> symbols,
                        std::span<int32_t> pages) {
  LLAVA_CHECK(lock.is_held());
  const auto num_full = static_cast<int32_t>(symbols.size()) / page_size_;
  LLAVA_CHECK(num_full >= lock.num_pages && pages.size() >= static_cast<std::size_t>(num_full),
              "{} symbols and {} pages behind a lock of {} pages", symbols.size(), pages.size(),
              lock.num_pages);
  if (num_full == lock.num_pages) return;
  const int32_t first = lock.num_pages;
  const auto own = static_cast<int32_t>(at(lock.node).pages.size());
  Position end = descend({lock.node, first, own}, symbols, num_full);
  if (end.in_node < static_cast<int32_t>(at(end.node).pages.size())) {
    end.node = split(end.node, end.in_node);
  }
  if (end.node != lock.node) {
    hold(end.node);
    let_go(lock.node);
    // The pages found are taken from the tree, from the end of the path upwards.
    int32_t page = end.num_pages;
    for (int32_t node = end.node; page > first; node = at(node).parent) {
      for (auto it = at(node).pages.rbegin(); it != at(node).pages.rend() && page > first; ++it) {
        --page;
        int32_t& own_page = pages[static_cast<std::size_t>(page)];
        blocks_.release(own_page);
        own_page = *it;
        ++counters_.duplicate_pages;
      }
    }
    lock = {end.node, end.num_pages};
  }
  if (lock.num_pages == num_full) return;
  const auto rest = static_cast<std::size_t>(lock.num_pages);
  append(lock,
         symbols.subspan(rest * static_cast<std::size_t>(page_size_),
                         static_cast<std::size_t>((num_full - lock.num_pages) * page_size_)),
         pages.subspan(rest, static_cast<std::size_t>(num_full - lock.num_pages)));
}

void PrefixTree::append(PrefixLock& lock, std::span<const Symbol> symbols,
                        std::span<const int32_t> pages) {
  // A path that only this lock holds, and that ends here, grows in place; otherwise a new leaf.
  const Node& end = at(lock.node);
  if (end.parent < 0 || end.holders > 1 || !end.children.empty()) {
    const int32_t leaf = new_node();
    at(leaf).parent = lock.node;
    hold(leaf);
    let_go(lock.node);
    at(leaf).symbols.assign(symbols.begin(), symbols.end());
    at(leaf).pages.assign(pages.begin(), pages.end());
    at(lock.node).children.emplace(first_page(at(leaf)), leaf);
    lock.node = leaf;
  } else {
    Node& leaf = at(lock.node);
    auto& siblings = at(leaf.parent).children;
    auto entry = siblings.extract(first_page(leaf));
    leaf.symbols.insert(leaf.symbols.end(), symbols.begin(), symbols.end());
    leaf.pages.insert(leaf.pages.end(), pages.begin(), pages.end());
    entry.key() = first_page(leaf);
    siblings.insert(std::move(entry));
  }
  lock.num_pages += static_cast<int32_t>(pages.size());
  num_pages_ += static_cast<int32_t>(pages.size());
  counters_.inserted_pages += static_cast<int64_t>(pages.size());
}

PrefixLock PrefixTree::share(const PrefixLock& lock) {
  LLAVA_CHECK(lock.is_held());
  hold(lock.node);
  return lock;
}

void PrefixTree::unlock(PrefixLock& lock) {
  LLAVA_CHECK(lock.is_held());
  ++clock_;
  let_go(lock.node);
  lock = {};
}

int32_t PrefixTree::evict(int32_t num_pages) {
  int32_t num_evicted = 0;
  const int32_t goal = blocks_.num_free() + num_pages;
  while (blocks_.num_free() < goal && !evictable_leaves_.empty()) {
    const int32_t leaf = evictable_leaves_.begin()->second;
    Node& node = at(leaf);
    while (!node.pages.empty() && blocks_.num_free() < goal) {
      blocks_.release(node.pages.back());
      node.pages.pop_back();
      ++num_evicted;
      --num_pages_;
      --num_evictable_;
    }
    if (node.pages.empty()) {
      remove_leaf(leaf);
    } else {
      node.symbols.resize(node.pages.size() * static_cast<std::size_t>(page_size_));
    }
  }
  counters_.evicted_pages += num_evicted;
  return num_evicted;
}

int32_t PrefixTree::new_node() {
  if (free_nodes_.empty()) {
    nodes_.emplace_back();
    return static_cast<int32_t>(nodes_.size()) - 1;
  }
  const int32_t node = free_nodes_.back();
  free_nodes_.pop_back();
  return node;
}

void PrefixTree::free_node(int32_t node) {
  at(node) = {};
  free_nodes_.push_back(node);
}

int32_t PrefixTree::root_of(std::string_view scope) {
  const auto known = roots_.find(scope);
  if (known != roots_.end()) return known->second;
  const int32_t root = new_node();
  at(root).scope = scope;
  roots_.emplace(scope, root);
  return root;
}

int32_t PrefixTree::split(int32_t node, int32_t num_pages) {
  const int32_t upper = new_node();
  Node& low = at(node);
  Node& top = at(upper);
  auto& siblings = at(low.parent).children;
  siblings.erase(first_page(low));
  const auto cut_page = low.pages.begin() + num_pages;
  const auto cut_symbol = low.symbols.begin() + static_cast<std::ptrdiff_t>(num_pages) * page_size_;
  top.parent = low.parent;
  top.holders = low.holders > 0 ? 1 : 0;
  top.last_used = low.last_used;
  top.pages.assign(low.pages.begin(), cut_page);
  top.symbols.assign(low.symbols.begin(), cut_symbol);
  low.pages.erase(low.pages.begin(), cut_page);
  low.symbols.erase(low.symbols.begin(), cut_symbol);
  low.parent = upper;
  siblings.emplace(first_page(top), upper);
  top.children.emplace(first_page(low), node);
  return upper;
}

void PrefixTree::hold(int32_t node) {
  // Only the first holder of a node is a change for its parent.
  for (; node >= 0; node = at(node).parent) {
    if (at(node).holders++ > 0) return;
    num_evictable_ -= static_cast<int32_t>(at(node).pages.size());
    evictable_leaves_.erase({at(node).last_used, node});
  }
}

void PrefixTree::let_go(int32_t node) {
  while (node >= 0) {
    Node& released = at(node);
    LLAVA_CHECK(released.holders > 0, "node {} is not held", node);
    if (--released.holders > 0) return;
    released.last_used = clock_;
    num_evictable_ += static_cast<int32_t>(released.pages.size());
    const int32_t parent = released.parent;
    if (released.children.empty()) {
      if (parent >= 0) {
        evictable_leaves_.emplace(released.last_used, node);
      } else {
        roots_.erase(released.scope);
        free_node(node);
      }
    }
    node = parent;
  }
}

void PrefixTree::remove_leaf(int32_t node) {
  const int32_t parent = at(node).parent;
  evictable_leaves_.erase({at(node).last_used, node});
  at(parent).children.erase(first_page(at(node)));
  free_node(node);
  if (!at(parent).children.empty() || at(parent).holders > 0) return;
  if (at(parent).parent >= 0) {
    evictable_leaves_.emplace(at(parent).last_used, parent);
  } else {
    roots_.erase(at(parent).scope);
    free_node(parent);
  }
}

}  // namespace llava::engine
