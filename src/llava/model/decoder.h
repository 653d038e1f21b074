// SPDX-License-Identifier: Apache-2.0
//
// The language model: LLaMA and its relatives (Vicuna, Mistral, Qwen2), which differ in grouped
// heads, biases, a sliding window and rotary scaling.
//
// Shape letters: T new tokens of all sequences, D model width, H query heads, K key/value heads,
// E head width, F feed-forward width, V vocabulary.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "llava/model/attention_maps.h"
#include "llava/model/config.h"
#include "llava/model/linear.h"
#include "llava/model/norm.h"
#include "llava/model/observer.h"
#include "llava/model/rope.h"

namespace llava::model {

/// Runs a layer on its input; see DecoderPass::around_layer.
using RunLayer = std::function<Tensor(const Tensor& x_TD)>;

/// What every layer of one forward pass shares.
struct DecoderPass {
  RopeTables rope;
  std::span<const SequenceSlice> sequences;
  AttentionSpec attention;
  /// What each layer shows its queries to; null: nothing. Needs a cache.
  AttentionMaps* maps = nullptr;
  /// Calls `run` with the layer's input and returns what it returns, perhaps later again: training
  /// recomputes layers in the backward pass. `run` may outlive the forward pass, not the model or
  /// this pass. Empty otherwise.
  std::function<Tensor(const RunLayer& run, const Tensor& x_TD)> around_layer = {};
};

/// Self-attention with rotary positions and grouped key/value heads (arXiv:2305.13245).
struct SelfAttention {
  int32_t num_heads, num_key_value_heads, head_dim;
  Linear q_proj, k_proj, v_proj, o_proj;

  explicit SelfAttention(const DecoderConfig& c);

  void describe(Walker& v) {
    v("q_proj", q_proj);
    v("k_proj", k_proj);
    v("v_proj", v_proj);
    v("o_proj", o_proj);
  }

  /// Shapes: x_TD -> [T, D].   `cache` is null when there is none (training).
  Tensor forward(Context& ctx, const Tensor& x_TD, const DecoderPass& pass, KvLayer* cache) const;
};

/// Gated feed-forward block (SwiGLU, arXiv:2002.05202, section 2).
/// Shapes: x [..., D] -> the same.   Threads: const, safe to share.
struct FeedForward {
  Linear gate_proj, up_proj, down_proj;

  explicit FeedForward(const DecoderConfig& c)
      : gate_proj(c.hidden_size, c.intermediate_size),
        up_proj(c.hidden_size, c.intermediate_size),
        down_proj(c.intermediate_size, c.hidden_size) {}

  void describe(Walker& v) {
    v("gate_proj", gate_proj);
    v("up_proj", up_proj);
    v("down_proj", down_proj);
  }

  Tensor forward(Context& ctx, const Tensor& x) const {
    const auto [gate, up] = forward_all(ctx, x, gate_proj, up_proj);
    return down_proj.forward(ctx, ops::silu_mul(ctx, gate, up));
  }
};

/// One pre-norm transformer block.
struct DecoderLayer {
  RmsNorm input_layernorm;
  SelfAttention self_attn;
  RmsNorm post_attention_layernorm;
  FeedForward mlp;

  explicit DecoderLayer(const DecoderConfig& c)
      : input_layernorm(c.hidden_size, c.rms_norm_eps),
        self_attn(c),
        post_attention_layernorm(c.hidden_size, c.rms_norm_eps),
        mlp(c) {}

  void describe(Walker& v) {
    v("input_layernorm", input_layernorm);
    v("self_attn", self_attn);
    v("post_attention_layernorm", post_attention_layernorm);
    v("mlp", mlp);
  }

  /// Shapes: x_TD -> [T, D].
  Tensor forward(Context& ctx, const Tensor& x_TD, const DecoderPass& pass, KvLayer* cache) const;
};

/// Embedding table, layers and final norm; the head belongs to LlavaModel.
struct Decoder {
  DecoderConfig config;
  Parameter embed_tokens;
  std::vector<DecoderLayer> layers;
  RmsNorm norm;

  explicit Decoder(const DecoderConfig& c);

  void describe(Walker& v) {
    v("embed_tokens.weight", embed_tokens);
    v("layers", layers);
    v("norm", norm);
  }

  /// Prepares what the layers of one pass share. Positions are given per row of the batch.
  DecoderPass begin_pass(Context& ctx, std::span<const int32_t> positions,
                         std::span<const SequenceSlice> sequences, DType dtype) const;

  /// Runs all layers and the final norm.
  ///
  /// Shapes: x_TD -> [T, D].   `cache` holds one KvLayer per layer, or is null.
  /// Observed: "hidden.i" before layer i, and after the final norm with i = number of layers.
  /// Threads: const, safe to share; the cache belongs to the caller.
  Tensor forward(Context& ctx, Tensor x_TD, const DecoderPass& pass, KvCacheView* cache,
                 const Observer& observer) const;
};

}  // namespace llava::model
