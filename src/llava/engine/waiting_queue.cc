// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/waiting_queue.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "llava/core/check.h"

namespace llava::engine {
namespace {

// Waiting time that a wholly cached prompt is worth among the sequences of one client.
constexpr double kPrefixBonusMs = 500;
// Clients without work whose service is remembered.
constexpr std::size_t kMaxIdleClients = 4096;

}  // namespace

void WaitingQueue::push(Entry entry) { entries_.push_back(std::move(entry)); }

bool WaitingQueue::remove(SequenceId sequence) {
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&](const Entry& e) { return e.sequence == sequence; });
  if (it == entries_.end()) return false;
  entries_.erase(it);
  return true;
}

bool WaitingQueue::goes_before(const Entry& a, const Entry& b, const Moment& moment) const {
  const auto is_late = [&](const Entry& e) { return moment.now_ms - e.arrival_ms >= max_wait_ms_; };
  const bool a_is_late = is_late(a);
  const bool b_is_late = is_late(b);
  const int32_t a_priority = a_is_late ? moment.highest_priority : a.priority;
  const int32_t b_priority = b_is_late ? moment.highest_priority : b.priority;
  if (a_priority != b_priority) return a_priority > b_priority;
  // Before lateness: nobody is starved by a client that was served less, but a client whose flood
  // is late would starve the others.
  if (policy_ == SchedulePolicy::kFair && a.client != b.client) {
    const double a_service = service(a.client);
    const double b_service = service(b.client);
    if (a_service != b_service) return a_service < b_service;
  }
  if (a_is_late != b_is_late) return a_is_late;
  if (a_is_late) return a.arrival_ms < b.arrival_ms;
  if (a.is_returning != b.is_returning) return a.is_returning;
  switch (policy_) {
    case SchedulePolicy::kFirstCome:
      return a.arrival_ms < b.arrival_ms;
    case SchedulePolicy::kLongestPrefix:
      return moment.cached_tokens(a.sequence) > moment.cached_tokens(b.sequence);
    case SchedulePolicy::kFair:
      break;
  }
  const auto rank = [&](const Entry& e) {
    const double share = static_cast<double>(moment.cached_tokens(e.sequence)) /
                         static_cast<double>(std::max(1, e.prompt_tokens));
    return static_cast<double>(e.arrival_ms) - kPrefixBonusMs * share;
  };
  return rank(a) < rank(b);
}

std::optional<SequenceId> WaitingQueue::next(int64_t now_ms, const CachedTokens& cached_tokens,
                                             std::span<const SequenceId> passed_over) const {
  if (entries_.empty()) return std::nullopt;
  Moment moment{.now_ms = now_ms,
                .highest_priority = entries_.front().priority,
                .cached_tokens = cached_tokens};
  for (const Entry& entry : entries_) {
    moment.highest_priority = std::max(moment.highest_priority, entry.priority);
  }
  const Entry* best = nullptr;
  for (const Entry& entry : entries_) {
    if (std::ranges::find(passed_over, entry.sequence) != passed_over.end()) continue;
    if (best == nullptr || goes_before(entry, *best, moment)) best = &entry;
  }
  if (best == nullptr) return std::nullopt;
  return best->sequence;
}

void WaitingQueue::activate(const std::string& client) {
  Client& entry = clients_[client];
  if (entry.num_active++ > 0) return;
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [name, other] : clients_) {
    if (other.num_active > 0 && name != client) least = std::min(least, other.service);
  }
  if (least != std::numeric_limits<double>::infinity()) {
    entry.service = std::max(entry.service, least);
  }
}

void WaitingQueue::deactivate(const std::string& client) {
  const auto it = clients_.find(client);
  LLAVA_CHECK(it != clients_.end() && it->second.num_active > 0);
  --it->second.num_active;
  if (clients_.size() > kMaxIdleClients && it->second.num_active == 0) clients_.erase(it);
}

void WaitingQueue::charge(const std::string& client, double service) {
  clients_[client].service += service;
}

double WaitingQueue::service(const std::string& client) const {
  const auto it = clients_.find(client);
  return it == clients_.end() ? 0 : it->second.service;
}

}  // namespace llava::engine
