// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/engine.h"

#include <algorithm>
#include <map>
#include <utility>

#include "llava/engine/engine_loop.h"

namespace llava::engine {
namespace {

std::vector<EngineReplica> single(std::unique_ptr<Runner> runner) {
  std::vector<EngineReplica> replicas(1);
  replicas.front().runner = std::move(runner);
  return replicas;
}

// A replica's part of what may be queued, rounded up; 0 stays the default, which is a replica's
// own.
EngineConfig part_of(EngineConfig config, int32_t num_replicas) {
  config.max_queued_requests = (config.max_queued_requests + num_replicas - 1) / num_replicas;
  config.max_queued_tokens = (config.max_queued_tokens + num_replicas - 1) / num_replicas;
  return config;
}

}  // namespace

EngineStats& EngineStats::operator+=(const EngineStats& other) {
  scheduler.num_steps += other.scheduler.num_steps;
  scheduler.prompt_tokens += other.scheduler.prompt_tokens;
  scheduler.cached_tokens += other.scheduler.cached_tokens;
  scheduler.computed_tokens += other.scheduler.computed_tokens;
  scheduler.encoded_images += other.scheduler.encoded_images;
  scheduler.preemptions += other.scheduler.preemptions;
  num_running += other.num_running;
  num_waiting += other.num_waiting;
  queued_tokens += other.queued_tokens;
  pages_used += other.pages_used;
  pages_cached += other.pages_cached;
  pages_total += other.pages_total;
  pages_pinned += other.pages_pinned;
  received += other.received;
  finished += other.finished;
  aborted += other.aborted;
  rejected += other.rejected;
  failed += other.failed;
  features_from_disk += other.features_from_disk;
  prefixes_from_disk += other.prefixes_from_disk;
  generated_tokens += other.generated_tokens;
  draft_tokens += other.draft_tokens;
  accepted_tokens += other.accepted_tokens;
  return *this;
}

Engine::Engine(const EngineConfig& config, const EngineMemory& memory,
               std::vector<EngineReplica> replicas, const text::Tokenizer& tokenizer,
               int32_t num_vocab)
    : chooser_(ReplicaChooser(static_cast<int32_t>(replicas.size()))) {
  const EngineConfig part = part_of(config, static_cast<int32_t>(replicas.size()));
  for (EngineReplica& replica : replicas) {
    replicas_.push_back(
        std::make_unique<EngineLoop>(part, memory, std::move(replica), tokenizer, num_vocab));
  }
}

Engine::Engine(const EngineConfig& config, const EngineMemory& memory,
               std::unique_ptr<Runner> runner, const text::Tokenizer& tokenizer, int32_t num_vocab)
    : Engine(config, memory, single(std::move(runner)), tokenizer, num_vocab) {}

Engine::~Engine() = default;

std::shared_ptr<AnswerStream> Engine::submit(GenerationRequest request) {
  replicas_.front()->check(request);
  if (replicas_.size() == 1) return replicas_.front()->enqueue(std::move(request));
  // Whoever comes next has to see that this one is there.
  return chooser_.with([&](ReplicaChooser& chooser) {
    std::vector<ReplicaLoad> loads;
    for (const auto& replica : replicas_) {
      loads.push_back(replica->load(request.prompt.ids.size()));
    }
    const int32_t chosen = chooser.choose(request, loads);
    return replicas_[static_cast<std::size_t>(chosen)]->enqueue(std::move(request));
  });
}

bool Engine::unpin(const std::string& name) {
  bool was_pinned = false;
  for (const auto& replica : replicas_) was_pinned |= replica->unpin(name);
  return was_pinned;
}

std::vector<PinInfo> Engine::pins() {
  std::map<std::string, PinInfo> by_name;
  for (const auto& replica : replicas_) {
    for (PinInfo& pin : replica->pins()) {
      const auto [known, is_new] = by_name.try_emplace(pin.name, pin);
      if (is_new) continue;
      known->second.is_in_memory |= pin.is_in_memory;
      known->second.is_on_disk |= pin.is_on_disk;
    }
  }
  std::vector<PinInfo> pins;
  for (auto& [name, pin] : by_name) pins.push_back(std::move(pin));
  return pins;
}

EngineLoop& Engine::least_busy() const {
  return **std::ranges::min_element(replicas_, {},
                                    [](const auto& replica) { return replica->load(0).num_open; });
}

std::vector<float> Engine::embed_picture(const PreparedImage& picture, PicturePooling pooling) {
  return least_busy().embed_picture(picture, pooling);
}

std::vector<float> Engine::embed_text(std::span<const int32_t> ids) {
  return least_busy().embed_text(ids);
}

void Engine::drop_unused() {
  for (const auto& replica : replicas_) replica->drop_unused();
}

void Engine::flush_cache() {
  for (const auto& replica : replicas_) replica->flush_cache();
}

EngineStats Engine::stats() const {
  EngineStats sum = replicas_.front()->stats();
  for (std::size_t i = 1; i < replicas_.size(); ++i) sum += replicas_[i]->stats();
  return sum;
}

double Engine::silent_seconds() const {
  double longest = 0;
  for (const auto& replica : replicas_) longest = std::max(longest, replica->silent_seconds());
  return longest;
}

void Engine::watch_steps(std::function<void(const StepRecord&)> watcher) {
  for (const auto& replica : replicas_) replica->watch_steps(watcher);
}

void Engine::wait_until_idle() {
  for (const auto& replica : replicas_) replica->wait_until_idle();
}

int32_t Engine::capacity_tokens() const { return replicas_.front()->capacity_tokens(); }

}  // namespace llava::engine
