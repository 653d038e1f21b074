// SPDX-License-Identifier: Apache-2.0
//
// What the subcommands that talk to a model share: flags, opening with progress, JSON of an answer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "llava/engine/answer.h"
#include "llava/engine/open_engine.h"
#include "llava/engine/pretrained.h"
#include "llava/runtime.h"
#include "picture_source.h"

namespace llava::app {

/// A backend and the checkpoint opened on it.
struct Session {
  Runtime runtime;
  engine::Pretrained pretrained;
  double load_ms = 0;
  engine::EngineOptions engine_options;
  std::unique_ptr<engine::Pretrained> draft;  ///< opened with the engine when the options name one
  std::vector<Runtime> other_runtimes;        ///< of the engine's replicas but the first
  std::unique_ptr<engine::Engine> engine;

  /// The session's engine, with room for this answer: opened with the first question, and again
  /// for one that needs a larger cache.
  engine::Engine& engine_for(const engine::PreparedPrompt& prompt,
                             const engine::AnswerOptions& options);

  /// An engine with these options: one replica on the session's runtime and one on each of the
  /// others; with `ranks` for the first rank's share of a model.
  std::unique_ptr<engine::Engine> open_engine(int64_t least_tokens,
                                              engine::LeadingRank* ranks = nullptr);

  Session(const RuntimeOptions& options, const engine::LoadRequest& request);
};

/// The flag `pin`, of the commands that ask one after the other.
template <class V>
void describe_pin(V& v, engine::AnswerOptions& options) {
  v.field("pin", options.pin,
          "name under which --cache-dir keeps the prompt up to the end of its picture, so that a "
          "later run neither encodes nor computes it again");
}

/// Throws: Error(kInvalidArgument) for a pin without a folder to keep it in.
void check_pin(const engine::AnswerOptions& options, const engine::EngineOptions& engine);

/// Milliseconds since an arbitrary start.
double now_ms();

/// Reads and prepares pictures; `preprocess_ms` grows by the time it took.
std::vector<engine::PreparedImage> prepare_pictures(const Session& session,
                                                    const std::vector<std::string>& locations,
                                                    const PictureOptions& options,
                                                    double& preprocess_ms);

}  // namespace llava::app
