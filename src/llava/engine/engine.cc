// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/engine.h"

#include <utility>

#include "llava/engine/engine_loop.h"

namespace llava::engine {

Engine::Engine(const EngineConfig& config, const EngineMemory& memory,
               std::unique_ptr<Runner> runner, const text::Tokenizer& tokenizer, int32_t num_vocab,
               std::unique_ptr<DraftModel> draft_model)
    : loop_(std::make_unique<EngineLoop>(config, memory, std::move(runner), tokenizer, num_vocab,
                                         std::move(draft_model))) {}

Engine::~Engine() = default;

std::shared_ptr<AnswerStream> Engine::submit(GenerationRequest request) {
  return loop_->submit(std::move(request));
}

EngineStats Engine::stats() const { return loop_->stats(); }

void Engine::wait_until_idle() { loop_->wait_until_idle(); }

int32_t Engine::capacity_tokens() const { return loop_->capacity_tokens(); }

}  // namespace llava::engine
