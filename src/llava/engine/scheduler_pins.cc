// SPDX-License-Identifier: Apache-2.0
//
// Prefixes that are held under a name, and such that come from elsewhere.
#include "llava/core/check.h"
#include "llava/engine/scheduler.h"

namespace llava::engine {

bool Scheduler::pin(SequenceId id, const std::string& name, int32_t num_tokens) {
  Sequence& sequence = get(id);
  LLAVA_CHECK(sequence.num_computed >= num_tokens && num_tokens % config_.page_size == 0);
  const auto symbols =
      std::span<const Symbol>(sequence.symbols).first(static_cast<std::size_t>(num_tokens));
  const std::string& scope = sequence.cache_scope;
  if (tree_.num_pages_if_pinned(name, scope, symbols) > max_pinned_pages()) return false;
  insert_into_tree(sequence);
  PrefixLock lock = tree_.lock_whole(scope, symbols);
  const bool is_whole = lock.num_pages == num_tokens / config_.page_size;
  if (is_whole) tree_.pin(name, lock);
  tree_.unlock(lock);
  return is_whole;
}

std::vector<int32_t> Scheduler::take_pages(int32_t num_pages) {
  std::vector<int32_t> pages;
  if (num_pages > num_obtainable()) return pages;
  pages.reserve(static_cast<std::size_t>(num_pages));
  for (int32_t i = 0; i < num_pages; ++i) pages.push_back(obtain_page());
  return pages;
}

void Scheduler::return_pages(std::span<const int32_t> pages) {
  for (const int32_t page : pages) blocks_.release(page);
}

void Scheduler::adopt_pages(std::string_view scope, std::span<const Symbol> symbols,
                            std::vector<int32_t> pages) {
  PrefixLock lock = tree_.lock_whole(scope, symbols.first(0));
  tree_.insert(lock, symbols, pages);
  tree_.unlock(lock);
}

}  // namespace llava::engine
