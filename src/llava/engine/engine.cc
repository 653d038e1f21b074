// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/engine.h"

#include <utility>

#include "llava/engine/engine_loop.h"

namespace llava::engine {

Engine::Engine(const EngineConfig& config, const EngineMemory& memory,
               std::unique_ptr<Runner> runner, const text::Tokenizer& tokenizer, int32_t num_vocab,
               std::unique_ptr<DraftModel> draft_model, std::unique_ptr<PersistentCache> cache)
    : loop_(std::make_unique<EngineLoop>(config, memory, std::move(runner), tokenizer, num_vocab,
                                         std::move(draft_model), std::move(cache))) {}

Engine::~Engine() = default;

std::shared_ptr<AnswerStream> Engine::submit(GenerationRequest request) {
  return loop_->submit(std::move(request));
}

bool Engine::unpin(const std::string& name) { return loop_->unpin(name); }

std::vector<PinInfo> Engine::pins() { return loop_->pins(); }

std::vector<float> Engine::embed_picture(const PreparedImage& picture, PicturePooling pooling) {
  return loop_->embed_picture(picture, pooling);
}

std::vector<float> Engine::embed_text(std::span<const int32_t> ids) {
  return loop_->embed_text(ids);
}

void Engine::drop_unused() { loop_->drop_unused(); }

void Engine::flush_cache() { loop_->flush_cache(); }

EngineStats Engine::stats() const { return loop_->stats(); }

double Engine::silent_seconds() const { return loop_->silent_seconds(); }

void Engine::watch_steps(std::function<void(const StepRecord&)> watcher) {
  loop_->watch_steps(std::move(watcher));
}

void Engine::wait_until_idle() { loop_->wait_until_idle(); }

int32_t Engine::capacity_tokens() const { return loop_->capacity_tokens(); }

}  // namespace llava::engine
