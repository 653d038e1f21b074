// SPDX-License-Identifier: Apache-2.0
//
// Pins: paths of the prefix tree that are held under a name.
#include <algorithm>
#include <set>

#include "llava/core/check.h"
#include "llava/engine/prefix_tree.h"

namespace llava::engine {

void PrefixTree::pin(std::string name, const PrefixLock& lock) {
  PrefixLock held = share(lock);
  unpin(name);
  pins_.emplace(std::move(name), held);
}

bool PrefixTree::unpin(std::string_view name) {
  const auto it = pins_.find(name);
  if (it == pins_.end()) return false;
  unlock(it->second);
  pins_.erase(it);
  return true;
}

const PrefixLock* PrefixTree::find_pin(std::string_view name) const {
  const auto it = pins_.find(name);
  return it == pins_.end() ? nullptr : &it->second;
}

void PrefixTree::collect(const PrefixLock& lock, std::vector<Symbol>& symbols,
                         std::vector<int32_t>& pages) const {
  LLAVA_CHECK(lock.is_held());
  std::vector<int32_t> path;
  for (int32_t node = lock.node; node >= 0; node = at(node).parent) path.push_back(node);
  for (auto node = path.rbegin(); node != path.rend(); ++node) {
    symbols.insert(symbols.end(), at(*node).symbols.begin(), at(*node).symbols.end());
    pages.insert(pages.end(), at(*node).pages.begin(), at(*node).pages.end());
  }
}

int32_t PrefixTree::num_pages_if_pinned(std::string_view name, std::string_view scope,
                                        std::span<const Symbol> symbols) const {
  std::set<int32_t> pinned;
  int32_t num_pages = 0;
  for (const auto& [other, lock] : pins_) {
    if (other == name) continue;
    for (int32_t node = lock.node; node >= 0 && pinned.insert(node).second;
         node = at(node).parent) {
      num_pages += static_cast<int32_t>(at(node).pages.size());
    }
  }
  const auto num_own = static_cast<int32_t>(symbols.size()) / page_size_;
  const auto root = roots_.find(scope);
  int32_t num_shared = 0;
  if (root != roots_.end()) {
    Position end = descend({root->second, 0, 0}, symbols, num_own);
    // The walk may have gone beyond what is pinned.
    int32_t matched = end.num_pages;
    for (int32_t node = end.node; node >= 0 && !pinned.contains(node); node = at(node).parent) {
      matched -= node == end.node ? end.in_node : static_cast<int32_t>(at(node).pages.size());
    }
    num_shared = matched;
  }
  return num_pages + num_own - num_shared;
}

PrefixLock PrefixTree::lock_whole(std::string_view scope, std::span<const Symbol> symbols) {
  return lock_path(scope, symbols, static_cast<int32_t>(symbols.size()));
}

}  // namespace llava::engine
