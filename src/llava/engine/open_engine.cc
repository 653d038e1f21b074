// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/open_engine.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "llava/core/check.h"
#include "llava/core/log.h"
#include "llava/engine/draft_model.h"
#include "llava/engine/draft_pace.h"
#include "llava/engine/draft_vocabulary.h"
#include "llava/engine/mapped_weights.h"
#include "llava/engine/memory.h"
#include "llava/engine/model_identity.h"
#include "llava/engine/model_runner.h"
#include "llava/engine/parallel/parallel_runner.h"
#include "llava/engine/scratch_memory.h"

namespace llava::engine {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// Tokens of the KV cache: what was asked for, else twice the context as far as half of the free
// memory goes.
int64_t choose_tokens(const Pretrained& pretrained, const EngineOptions& options,
                      int64_t least_tokens, int64_t bytes_per_token, int64_t mapped_bytes) {
  if (options.kv_cache_tokens > 0) return std::max<int64_t>(options.kv_cache_tokens, least_tokens);
  int64_t tokens = int64_t{2} * pretrained.context_length();
  if (const auto available = available_memory_bytes()) {
    tokens = std::min(tokens, (*available - mapped_bytes) / 2 / bytes_per_token);
  }
  return std::max(tokens, least_tokens);
}

// Who computes the model: each replica with all of it, or ranks with a share each.
struct Copies {
  int32_t num_replicas = 1;
  int32_t num_ranks = 1;
};

// What the caches of a replica hold, and their types.
struct Caches {
  DType kv_dtype = DType::kFloat32;
  DType draft_kv_dtype = DType::kFloat32;
  int32_t num_pages = 0;
  int64_t encoder_bytes = 0;
};

// Sums up what the engine will take beside the weights, and refuses what does not fit. Every
// replica takes as much, and every rank all but what only the first one does.
Caches plan_caches(const Pretrained& pretrained, const EngineOptions& options, int64_t least_tokens,
                   const Pretrained* draft, const Copies& copies) {
  const model::LlavaModel& model = *pretrained.model;
  Caches caches;
  caches.kv_dtype = choose_kv_dtype(model, options.kv_dtype);
  const int64_t bytes_per_token =
      copies.num_ranks * KvPages::bytes_per_token(model.config.decoder, caches.kv_dtype);
  int64_t draft_bytes_per_token = 0;
  if (draft != nullptr) {
    caches.draft_kv_dtype = choose_kv_dtype(*draft->model, options.kv_dtype);
    draft_bytes_per_token =
        KvPages::bytes_per_token(draft->model->config.decoder, caches.draft_kv_dtype);
  }
  const int64_t page_size = options.config.scheduler.page_size;
  int64_t mapped_bytes = mapped_weight_bytes(*pretrained.model);
  if (draft != nullptr) mapped_bytes += mapped_weight_bytes(*draft->model);
  int64_t tokens =
      choose_tokens(pretrained, options, least_tokens,
                    copies.num_replicas * (bytes_per_token + draft_bytes_per_token), mapped_bytes);
  caches.num_pages = static_cast<int32_t>((tokens + page_size - 1) / page_size);
  tokens = caches.num_pages * page_size;
  const StepSize step = largest_step(options.config, tokens, least_tokens);
  std::vector<MemoryPart> parts{
      {fmt::format("the KV cache of {} tokens", tokens), tokens * bytes_per_token},
      {fmt::format("a step of {} tokens", step.num_tokens),
       std::max(copies.num_ranks * step_scratch_bytes(model, step),
                encode_scratch_bytes(model, most_tiles(pretrained.geometry)))}};
  if (model.config.has_vision) {
    parts.push_back(
        {"where an answer looked",
         look_scratch_bytes(model, std::min<int64_t>(tokens, pretrained.context_length()))});
  }
  if (draft != nullptr) {
    parts.push_back({"the draft model's KV cache", tokens * draft_bytes_per_token});
    parts.push_back({"a step of the draft model", step_scratch_bytes(*draft->model, step)});
  }
  if (copies.num_replicas > 1) {
    for (MemoryPart& part : parts) {
      part.what = fmt::format("{} times {}", copies.num_replicas, part.what);
      part.num_bytes *= copies.num_replicas;
    }
  }
  if (mapped_bytes > 0) parts.push_back({"the weights in mapped files", mapped_bytes});
  require_memory(parts, "the engine");
  caches.encoder_bytes = options.encoder_cache_mb * kMiB / copies.num_replicas;
  int64_t sum = 0;
  for (const MemoryPart& part : parts) {
    sum += part.num_bytes;
    log_debug("engine_memory", {{"for", part.what}, {"mib", part.num_bytes / kMiB}});
  }
  if (const auto available = available_memory_bytes()) {
    caches.encoder_bytes =
        std::clamp<int64_t>((*available - sum) / 4 / copies.num_replicas, 0, caches.encoder_bytes);
  }
  log_debug("engine_memory",
            {{"for", "the encoder cache, at most"}, {"mib", caches.encoder_bytes / kMiB}});
  return caches;
}

// What a decoding step reads: the matrices of the layers and the head.
int64_t decoder_bytes(const model::LlavaModel& model) {
  const Tensor& head = model.lm_head.weight.value;
  int64_t bytes =
      head.is_defined() ? head.num_bytes() : model.decoder.embed_tokens.value.num_bytes();
  for (const model::DecoderLayer& layer : model.decoder.layers) {
    for (const model::Linear* linear :
         {&layer.self_attn.q_proj, &layer.self_attn.k_proj, &layer.self_attn.v_proj,
          &layer.self_attn.o_proj, &layer.mlp.gate_proj, &layer.mlp.up_proj,
          &layer.mlp.down_proj}) {
      bytes += linear->weight.value.num_bytes();
    }
  }
  return bytes;
}

std::unique_ptr<DraftModel> make_draft_model(const Context& ctx, const Pretrained& pretrained,
                                             const Pretrained& draft, const EngineOptions& options,
                                             const Caches& caches) {
  DraftModelConfig config;
  config.scheduler = options.config.scheduler;
  // A call of DraftModel::propose runs several steps.
  config.scheduler.chunked_prefill_size = std::max(
      1, config.scheduler.chunked_prefill_size / std::max(1, options.config.max_draft_tokens));
  config.num_pages = caches.num_pages;
  config.num_ids = std::min({num_common_ids(*pretrained.tokenizer, *draft.tokenizer, draft.name),
                             pretrained.num_allowed_ids(), draft.model->config.decoder.vocab_size});
  config.context_length = draft.context_length();
  // A step with few tokens takes the time of reading the weights.
  config.cost_per_token = kVerifyCost + static_cast<double>(decoder_bytes(*draft.model)) /
                                            static_cast<double>(decoder_bytes(*pretrained.model));
  if (config.cost_per_token >= 1) {
    log_warning("draft_model_too_large",
                {{"model", draft.name}, {"reason", "a guess costs more than it can save"}});
  }
  auto runner = std::make_unique<ModelRunner>(ctx, *draft.model, caches.draft_kv_dtype,
                                              caches.num_pages, config.scheduler.page_size);
  return std::make_unique<DraftModel>(config, std::move(runner));
}

// Whose the entries of the cache on disk are; nothing when there is no folder for it.
std::optional<ModelIdentity> identify_for_cache(Context ctx, const Pretrained& pretrained,
                                                const EngineOptions& options, DType kv_dtype) {
  if (options.cache_dir.empty()) return std::nullopt;
  ModelIdentity identity = identify_model(ctx, *pretrained.model);
  identity.prefixes += fmt::format("\nkv {}", dtype_name(kv_dtype));
  return identity;
}

// What outlives the engine on disk.
std::unique_ptr<PersistentCache> open_cache(const EngineOptions& options, ModelIdentity identity) {
  return std::make_unique<PersistentCache>(
      PersistentCacheConfig{.folder = options.cache_dir,
                            .max_bytes = options.cache_size_mb * kMiB,
                            .identity = std::move(identity)});
}

}  // namespace

DType choose_kv_dtype(const model::LlavaModel& model, const std::string& name) {
  if (name == "int8") return DType::kInt8;
  if (const auto dtype = dtype_from_name(name)) return *dtype;
  const auto& layers = model.decoder.layers;
  const bool has_packed_weights =
      !layers.empty() && is_packed(layers.front().mlp.down_proj.weight.value.dtype());
  return has_packed_weights ? DType::kFloat16 : model.dtype();
}

std::unique_ptr<Pretrained> load_draft_model(Context& ctx, const Pretrained& pretrained,
                                             const EngineOptions& options) {
  if (options.draft_model.empty()) return nullptr;
  if (options.config.max_draft_tokens == 0) {
    fail(ErrorCode::kInvalidArgument,
         "--draft-model '{}' has nothing to do with --max-draft-tokens 0: leave one of them out",
         options.draft_model);
  }
  LoadRequest request;
  request.model_path = options.draft_model;
  auto draft = std::make_unique<Pretrained>(load_pretrained(ctx, request));
  num_common_ids(*pretrained.tokenizer, *draft->tokenizer, draft->name);
  return draft;
}

std::unique_ptr<Engine> open_engine(const std::vector<Context>& contexts,
                                    const Pretrained& pretrained, const EngineOptions& options,
                                    int64_t least_tokens, const Pretrained* draft,
                                    LeadingRank* ranks) {
  LLAVA_CHECK(!contexts.empty() && (ranks == nullptr || contexts.size() == 1));
  const Caches caches = plan_caches(pretrained, options, least_tokens, draft,
                                    {.num_replicas = static_cast<int32_t>(contexts.size()),
                                     .num_ranks = ranks != nullptr ? ranks->size() : 1});
  const auto page_size = options.config.scheduler.page_size;
  const model::DecoderConfig& decoder = pretrained.model->config.decoder;
  const auto identity = identify_for_cache(contexts.front(), pretrained, options, caches.kv_dtype);
  std::vector<EngineReplica> replicas;
  for (const Context& ctx : contexts) {
    EngineReplica& replica = replicas.emplace_back();
    if (draft != nullptr) {
      replica.draft_model = make_draft_model(ctx, pretrained, *draft, options, caches);
    }
    if (ranks != nullptr) {
      const RunnerMemory memory{
          .kv_dtype = caches.kv_dtype, .num_pages = caches.num_pages, .page_size = page_size};
      replica.runner = std::make_unique<ParallelRunner>(ctx, *pretrained.model, memory, *ranks);
    } else {
      replica.runner = std::make_unique<ModelRunner>(ctx, *pretrained.model, caches.kv_dtype,
                                                     caches.num_pages, page_size);
    }
    if (identity) replica.cache = open_cache(options, *identity);
  }
  return std::make_unique<Engine>(
      options.config,
      EngineMemory{.num_pages = caches.num_pages,
                   .encoder_cache_bytes = caches.encoder_bytes,
                   .encoder_bytes_per_token =
                       int64_t{decoder.hidden_size} * item_size(pretrained.model->dtype())},
      std::move(replicas), *pretrained.tokenizer, decoder.vocab_size);
}

}  // namespace llava::engine
