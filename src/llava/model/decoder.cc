// SPDX-License-Identifier: Apache-2.0
#include "llava/model/decoder.h"

#include <cmath>

#include "llava/core/check.h"

namespace llava::model {

SelfAttention::SelfAttention(const DecoderConfig& c)
    : num_heads(c.num_attention_heads),
      num_key_value_heads(c.num_key_value_heads),
      head_dim(c.head_dim),
      q_proj(c.hidden_size, int64_t{c.num_attention_heads} * c.head_dim, c.has_qkv_bias),
      k_proj(c.hidden_size, int64_t{c.num_key_value_heads} * c.head_dim, c.has_qkv_bias),
      v_proj(c.hidden_size, int64_t{c.num_key_value_heads} * c.head_dim, c.has_qkv_bias),
      o_proj(int64_t{c.num_attention_heads} * c.head_dim, c.hidden_size, c.has_output_bias) {}

Tensor SelfAttention::forward(Context& ctx, const Tensor& x_TD, const DecoderPass& pass,
                              KvLayer* cache) const {
  const int64_t num_tokens = x_TD.dim(0);
  const Shape key_shape{num_tokens, num_key_value_heads, head_dim};
  const auto [q_TD, k_TD, v_TD] = forward_all(ctx, x_TD, q_proj, k_proj, v_proj);
  const Tensor q_THE = ops::rope(ctx, q_TD.reshape({num_tokens, num_heads, head_dim}),
                                 pass.rope.cos_TE, pass.rope.sin_TE);
  const Tensor k_TKE = ops::rope(ctx, k_TD.reshape(key_shape), pass.rope.cos_TE, pass.rope.sin_TE);
  const Tensor v_TKE = v_TD.reshape(key_shape);
  Tensor mixed_THE;
  if (cache != nullptr) {
    ops::kv_write(ctx, *cache, k_TKE, v_TKE, pass.sequences);
    mixed_THE = ops::attention_cached(ctx, q_THE, *cache, pass.sequences, pass.attention);
    if (pass.maps != nullptr) {
      pass.maps->add_layer(ctx, q_THE, *cache, pass.sequences, pass.attention);
    }
  } else {
    mixed_THE = ops::attention(ctx, q_THE, k_TKE, v_TKE, pass.sequences, pass.attention);
  }
  return o_proj.forward(ctx, mixed_THE.reshape({num_tokens, int64_t{num_heads} * head_dim}));
}

Tensor DecoderLayer::forward(Context& ctx, const Tensor& x_TD, const DecoderPass& pass,
                             KvLayer* cache) const {
  const Tensor attended_TD =
      ops::add(ctx, x_TD, self_attn.forward(ctx, input_layernorm.forward(ctx, x_TD), pass, cache));
  return ops::add(ctx, attended_TD,
                  mlp.forward(ctx, post_attention_layernorm.forward(ctx, attended_TD)));
}

Decoder::Decoder(const DecoderConfig& c)
    : config(c),
      embed_tokens(Shape{c.vocab_size, c.hidden_size}),
      norm(c.hidden_size, c.rms_norm_eps) {
  layers.reserve(static_cast<std::size_t>(c.num_hidden_layers));
  for (int32_t i = 0; i < c.num_hidden_layers; ++i) layers.emplace_back(c);
}

DecoderPass Decoder::begin_pass(Context& ctx, std::span<const int32_t> positions,
                                std::span<const SequenceSlice> sequences, DType dtype) const {
  RopeTables tables = rope_tables(config, positions, dtype);
  return {.rope = {ops::from_host(ctx, tables.cos_TE), ops::from_host(ctx, tables.sin_TE)},
          .sequences = sequences,
          .attention = {.scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim)),
                        .is_causal = true,
                        .window = config.sliding_window}};
}

Tensor Decoder::forward(Context& ctx, Tensor x_TD, const DecoderPass& pass, KvCacheView* cache,
                        const Observer& observer) const {
  LLAVA_CHECK(cache == nullptr || cache->layers.size() == layers.size());
  LLAVA_CHECK(cache != nullptr || pass.maps == nullptr, "attention maps need a cache");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (observer) observer("hidden." + std::to_string(i), x_TD);
    KvLayer* const layer_cache = cache != nullptr ? &cache->layers[i] : nullptr;
    if (pass.around_layer) {
      const RunLayer run = [&ctx, &layer = layers[i], &pass, layer_cache](const Tensor& input_TD) {
        return layer.forward(ctx, input_TD, pass, layer_cache);
      };
      x_TD = pass.around_layer(run, x_TD);
    } else {
      x_TD = layers[i].forward(ctx, x_TD, pass, layer_cache);
    }
  }
  x_TD = norm.forward(ctx, x_TD);
  if (observer) observer("hidden." + std::to_string(layers.size()), x_TD);
  return x_TD;
}

}  // namespace llava::model
