// SPDX-License-Identifier: Apache-2.0
//
// The invariants of a prefix tree, checked by walking all of it.
#include "llava/core/check.h"
#include "llava/engine/prefix_tree.h"

namespace llava::engine {

void PrefixTree::check_node(int32_t node, std::vector<int32_t>& references, int32_t& num_evictable,
                            std::size_t& num_leaves) const {
  const Node& here = at(node);
  LLAVA_CHECK(here.symbols.size() == here.pages.size() * static_cast<std::size_t>(page_size_));
  LLAVA_CHECK((here.parent < 0) == here.pages.empty(), "node {}", node);
  for (const int32_t page : here.pages) {
    LLAVA_CHECK(++references[static_cast<std::size_t>(page)] == 1, "page {} is cached twice", page);
    LLAVA_CHECK(blocks_.references(page) > 0, "cached page {} is free", page);
  }
  if (here.holders == 0) num_evictable += static_cast<int32_t>(here.pages.size());
  const bool is_free_leaf = here.parent >= 0 && here.holders == 0 && here.children.empty();
  LLAVA_CHECK(evictable_leaves_.contains({here.last_used, node}) == is_free_leaf, "node {}", node);
  if (is_free_leaf) ++num_leaves;
  int32_t held_children = 0;
  for (const auto& [key, child] : here.children) {
    LLAVA_CHECK(key.data() == at(child).symbols.data() && at(child).parent == node);
    LLAVA_CHECK(here.holders > 0 || at(child).last_used <= here.last_used,
                "node {} was used after its parent", child);
    if (at(child).holders > 0) ++held_children;
    check_node(child, references, num_evictable, num_leaves);
  }
  LLAVA_CHECK(held_children <= here.holders, "node {}", node);
}

void PrefixTree::check_consistency() const {
  std::vector<int32_t> references(static_cast<std::size_t>(blocks_.num_pages()), 0);
  int32_t num_evictable = 0;
  std::size_t num_leaves = 0;
  for (const auto& [scope, root] : roots_) {
    LLAVA_CHECK(at(root).scope == scope && at(root).parent < 0);
    LLAVA_CHECK(at(root).holders > 0 || !at(root).children.empty(), "scope '{}' is empty", scope);
    check_node(root, references, num_evictable, num_leaves);
  }
  int32_t num_pages = 0;
  for (const int32_t count : references) num_pages += count;
  LLAVA_CHECK(num_pages == num_pages_ && num_evictable == num_evictable_ &&
                  num_leaves == evictable_leaves_.size(),
              "{} pages, {} evictable, {} leaves", num_pages, num_evictable, num_leaves);
}

}  // namespace llava::engine
