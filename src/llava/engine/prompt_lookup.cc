// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/prompt_lookup.h"

#include <algorithm>
#include <cmath>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

constexpr int32_t kLongestMatch = 16;

}  // namespace

PromptLookup::PromptLookup(PromptLookupParams params, std::span<const int32_t> prompt)
    : params_(params), pace_(params.max_draft, params.cost_per_token) {
  if (params.min_match < 1 || params.max_match < params.min_match ||
      params.max_match > kLongestMatch || params.max_draft < 1 || params.cost_per_token < 0 ||
      !std::isfinite(params.cost_per_token)) {
    fail(ErrorCode::kInvalidArgument,
         "prompt lookup with matches of {} to {} tokens, drafts of {} and a cost of {} a token: "
         "expected matches of 1 to {}, drafts of at least 1 and a cost of at least 0",
         params.min_match, params.max_match, params.max_draft, params.cost_per_token,
         kLongestMatch);
  }
  ids_.reserve(prompt.size());
  for (const int32_t id : prompt) append(id);
}

uint64_t PromptLookup::hash_of(std::size_t end, int32_t size) const {
  uint64_t hash = 0x2545F4914F6CDD1Du * static_cast<uint64_t>(size);
  for (std::size_t i = end - static_cast<std::size_t>(size); i < end; ++i) {
    hash = (hash ^ static_cast<uint32_t>(ids_[i])) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return hash;
}

// Called before a token is added: what it follows is then known to continue.
void PromptLookup::index_newest() {
  for (int32_t size = 1; size <= params_.max_match; ++size) {
    if (static_cast<std::size_t>(size) > ids_.size()) return;
    if (ids_[ids_.size() - static_cast<std::size_t>(size)] < 0) return;
    if (size < params_.min_match) continue;
    places_[hash_of(ids_.size(), size)] = static_cast<uint32_t>(ids_.size());
  }
}

void PromptLookup::append(int32_t id) {
  index_newest();
  ids_.push_back(id);
}

int64_t PromptLookup::continuation(int32_t size) const {
  if (static_cast<std::size_t>(size) > ids_.size()) return -1;
  const auto found = places_.find(hash_of(ids_.size(), size));
  if (found == places_.end()) return -1;
  const std::size_t place = found->second;
  if (place < static_cast<std::size_t>(size)) return -1;
  const auto newest = ids_.end() - size;
  const auto earlier = ids_.begin() + static_cast<std::ptrdiff_t>(place) - size;
  return std::equal(newest, ids_.end(), earlier) ? static_cast<int64_t>(place) : -1;
}

std::span<const int32_t> PromptLookup::draft(int32_t limit) {
  const int32_t length = std::clamp(limit, 0, pace_.next_length());
  if (length == 0) return {};
  for (int32_t size = params_.max_match; size >= params_.min_match; --size) {
    const int64_t place = continuation(size);
    if (place < 0) continue;
    std::span<const int32_t> next = std::span(ids_).subspan(static_cast<std::size_t>(place));
    next = next.first(std::min(next.size(), static_cast<std::size_t>(length)));
    const auto picture = std::find_if(next.begin(), next.end(), [](int32_t id) { return id < 0; });
    next = next.first(static_cast<std::size_t>(picture - next.begin()));
    if (!next.empty()) return next;
  }
  return {};
}

void PromptLookup::report(int32_t num_drafted, int32_t num_accepted) {
  if (num_drafted <= 0) return;
  num_drafted_ += num_drafted;
  num_accepted_ += num_accepted;
  pace_.report(num_drafted, num_accepted);
}

}  // namespace llava::engine
