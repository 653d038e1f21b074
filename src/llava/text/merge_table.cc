// SPDX-License-Identifier: Apache-2.0
#include "llava/text/merge_table.h"

#include <algorithm>
#include <array>
#include <queue>

namespace llava::text {
namespace {

/// Up to this length a scan for the best pair beats a heap.
constexpr std::size_t kShortRun = 48;

struct Proposal {
  int32_t rank;
  int32_t left;
  int32_t result;
};

struct Later {
  bool operator()(const Proposal& a, const Proposal& b) const noexcept {
    return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
  }
};

struct Links {
  int32_t previous;
  int32_t next;
};

}  // namespace

void MergeTable::add(int32_t left, int32_t right, Merge merge) {
  merges_.insert_or_assign(static_cast<uint32_t>(left), static_cast<uint32_t>(right), merge);
}

void MergeTable::add_joint(int32_t left, int32_t right) {
  joints_.insert_or_assign(static_cast<uint32_t>(left), static_cast<uint32_t>(right), 1);
}

bool MergeTable::may_join(const Symbol& left, const Symbol& right) const noexcept {
  return joints_.size() == 0 ||
         joints_.find(static_cast<uint32_t>(left.id), static_cast<uint32_t>(right.id)) != nullptr;
}

void MergeTable::apply(std::vector<Symbol>& symbols) const {
  std::size_t kept = 0;
  for (std::size_t begin = 0; begin < symbols.size();) {
    std::size_t end = symbols.size();
    if (symbols.size() > kShortRun) {
      end = begin + 1;
      while (end < symbols.size() && may_join(symbols[end - 1], symbols[end])) ++end;
    }
    const std::size_t count = merge_run(std::span(symbols).subspan(begin, end - begin));
    std::copy_n(symbols.begin() + static_cast<std::ptrdiff_t>(begin), count,
                symbols.begin() + static_cast<std::ptrdiff_t>(kept));
    kept += count;
    begin = end;
  }
  symbols.resize(kept);
}

void MergeTable::apply(std::vector<Symbol>& symbols, SplitLog& log) const {
  symbols.resize(merge_long(symbols, &log));
}

std::size_t MergeTable::merge_run(std::span<Symbol> run) const {
  return run.size() <= kShortRun ? merge_short(run) : merge_long(run, nullptr);
}

std::size_t MergeTable::merge_short(std::span<Symbol> run) const {
  std::array<const Merge*, kShortRun> pairs{};
  std::size_t size = run.size();
  for (std::size_t i = 0; i + 1 < size; ++i) pairs[i] = find(run[i].id, run[i + 1].id);
  while (true) {
    std::size_t best = size;
    for (std::size_t i = 0; i + 1 < size; ++i) {
      if (pairs[i] != nullptr && (best == size || pairs[i]->rank < pairs[best]->rank)) best = i;
    }
    if (best == size) return size;
    run[best] = {pairs[best]->result, run[best].num_bytes + run[best + 1].num_bytes};
    for (std::size_t i = best + 1; i + 1 < size; ++i) {
      run[i] = run[i + 1];
      pairs[i] = pairs[i + 1];
    }
    --size;
    if (best > 0) pairs[best - 1] = find(run[best - 1].id, run[best].id);
    pairs[best] = best + 1 < size ? find(run[best].id, run[best + 1].id) : nullptr;
  }
}

std::size_t MergeTable::merge_long(std::span<Symbol> run, SplitLog* log) const {
  const auto size = static_cast<int32_t>(run.size());
  std::vector<Links> links(run.size());
  std::vector<Proposal> initial;
  const auto propose = [&](int32_t left, int32_t right, auto&& push) {
    if (left < 0 || right < 0) return;
    const Merge* merge = find(run[left].id, run[right].id);
    if (merge == nullptr) return;
    push(Proposal{merge->rank, left, merge->result});
    if (log != nullptr && (*log->wanted)[static_cast<std::size_t>(merge->result)]) {
      log->splits[merge->result] = {run[left].id, run[right].id};
    }
  };
  for (int32_t i = 0; i < size; ++i) {
    links[i] = {i - 1, i + 1 < size ? i + 1 : -1};
    propose(i - 1, i, [&](const Proposal& p) { initial.push_back(p); });
  }
  std::priority_queue<Proposal, std::vector<Proposal>, Later> queue(Later{}, std::move(initial));
  while (!queue.empty()) {
    const Proposal top = queue.top();
    queue.pop();
    const int32_t left = top.left;
    const int32_t right = links[left].next;
    if (run[left].num_bytes == 0 || right < 0) continue;
    const Merge* merge = find(run[left].id, run[right].id);
    if (merge == nullptr || merge->result != top.result) continue;
    run[left] = {merge->result, run[left].num_bytes + run[right].num_bytes};
    run[right].num_bytes = 0;
    links[left].next = links[right].next;
    if (links[right].next >= 0) links[links[right].next].previous = left;
    const auto push = [&](const Proposal& p) { queue.push(p); };
    propose(links[left].previous, left, push);
    propose(left, links[left].next, push);
  }
  std::size_t kept = 0;
  for (int32_t i = size > 0 ? 0 : -1; i >= 0; i = links[i].next) run[kept++] = run[i];
  return kept;
}

}  // namespace llava::text
