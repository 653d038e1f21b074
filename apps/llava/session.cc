// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <chrono>

#include "fetch_model.h"
#include "llava/core/log.h"
#include "llava/core/progress.h"

namespace llava::app {
namespace {

engine::Pretrained open(Runtime& runtime, const engine::LoadRequest& request) {
  Context ctx = runtime.context();
  ProgressBar bar("loading");
  return engine::load_pretrained(
      ctx, request, [&bar](uint64_t done, uint64_t total) { bar.update(done, total); });
}

}  // namespace

double now_ms() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void check_pin(const engine::AnswerOptions& options, const engine::EngineOptions& engine) {
  if (options.pin.empty() || !engine.cache_dir.empty()) return;
  fail(ErrorCode::kInvalidArgument,
       "--pin '{}' keeps the prompt for later runs: name a folder for it with --cache-dir",
       options.pin);
}

Session::Session(const RuntimeOptions& options, const engine::LoadRequest& request)
    : runtime(options) {
  fetch_model({.model_path = request.model_path,
               .model_base = request.model_base,
               .needs_tower = request.vision_tower.empty()});
  const double start = now_ms();
  pretrained = open(runtime, request);
  load_ms = now_ms() - start;
  log_info("model_loaded", {{"model", pretrained.name},
                            {"path", pretrained.path.string()},
                            {"dtype", dtype_name(pretrained.model->dtype())},
                            {"backend", runtime.backend_name()},
                            {"ms", load_ms}});
}

std::unique_ptr<engine::Engine> Session::open_engine(int64_t least_tokens,
                                                     engine::LeadingRank* ranks) {
  Context ctx = runtime.context();
  if (!draft) {
    fetch_model({.model_path = engine_options.draft_model});
    draft = engine::load_draft_model(ctx, pretrained, engine_options);
  }
  std::vector<Context> contexts{ctx};
  for (Runtime& other : other_runtimes) contexts.push_back(other.context());
  return engine::open_engine(contexts, pretrained, engine_options, least_tokens, draft.get(),
                             ranks);
}

engine::Engine& Session::engine_for(const engine::PreparedPrompt& prompt,
                                    const engine::AnswerOptions& options) {
  const int64_t needed =
      tokens_needed(prompt, resolve_params(pretrained, options, prompt), !options.pin.empty());
  if (!engine || engine->capacity_tokens() < needed) {
    engine.reset();
    engine = open_engine(needed);
  }
  return *engine;
}

std::vector<engine::PreparedImage> prepare_pictures(const Session& session,
                                                    const std::vector<std::string>& locations,
                                                    const PictureOptions& options,
                                                    double& preprocess_ms) {
  const double start = now_ms();
  std::vector<engine::PreparedImage> images;
  const int num_threads = session.runtime.num_threads();
  for (const std::string& location : locations) {
    images.push_back(engine::prepare_image(
        session.pretrained, load_picture(location, options, num_threads), num_threads));
  }
  preprocess_ms += now_ms() - start;
  return images;
}

}  // namespace llava::app
