// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/open_engine.h"

#include <algorithm>

#include "llava/core/log.h"
#include "llava/engine/memory.h"
#include "llava/engine/model_runner.h"

namespace llava::engine {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// Tokens of the KV cache: what was asked for, else twice the context as far as half of the free
// memory goes.
int64_t choose_tokens(const Pretrained& pretrained, const EngineOptions& options,
                      int64_t least_tokens, int64_t bytes_per_token) {
  if (options.kv_cache_tokens > 0) return std::max<int64_t>(options.kv_cache_tokens, least_tokens);
  int64_t tokens = int64_t{2} * pretrained.context_length();
  if (const auto available = available_memory_bytes()) {
    tokens = std::min(tokens, *available / 2 / bytes_per_token);
  }
  return std::max(tokens, least_tokens);
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

std::unique_ptr<Engine> open_engine(const Context& ctx, const Pretrained& pretrained,
                                    const EngineOptions& options, int64_t least_tokens) {
  const model::DecoderConfig& decoder = pretrained.model->config.decoder;
  const DType kv_dtype = choose_kv_dtype(*pretrained.model, options.kv_dtype);
  const int64_t bytes_per_token = KvPages::bytes_per_token(decoder, kv_dtype);
  const int64_t page_size = options.config.scheduler.page_size;
  const int64_t tokens = choose_tokens(pretrained, options, least_tokens, bytes_per_token);
  const int64_t num_pages = (tokens + page_size - 1) / page_size;
  const int64_t kv_bytes = num_pages * page_size * bytes_per_token;
  require_memory(kv_bytes, fmt::format("the KV cache of {} tokens", num_pages * page_size));
  const int64_t feature_bytes = int64_t{decoder.hidden_size} * item_size(pretrained.model->dtype());
  int64_t encoder_bytes = options.encoder_cache_mb * kMiB;
  if (const auto available = available_memory_bytes()) {
    encoder_bytes = std::clamp<int64_t>((*available - kv_bytes) / 4, 0, encoder_bytes);
  }
  log_debug("engine_memory", {{"kv_tokens", num_pages * page_size},
                              {"kv_mib", kv_bytes / kMiB},
                              {"encoder_mib", encoder_bytes / kMiB}});
  auto runner = std::make_unique<ModelRunner>(ctx, *pretrained.model, kv_dtype,
                                              static_cast<int32_t>(num_pages),
                                              static_cast<int32_t>(page_size));
  return std::make_unique<Engine>(options.config,
                                  EngineMemory{.num_pages = static_cast<int32_t>(num_pages),
                                               .encoder_cache_bytes = encoder_bytes,
                                               .encoder_bytes_per_token = feature_bytes},
                                  std::move(runner), *pretrained.tokenizer, decoder.vocab_size);
}

}  // namespace llava::engine
