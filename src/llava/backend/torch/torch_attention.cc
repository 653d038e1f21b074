// SPDX-License-Identifier: Apache-2.0
//
// Attention over LibTorch's fused kernels, which keep scores and softmax in float32 and never hold
// the whole score matrix. Shape letters: B sequences of equal length, T queries, S keys, H query
// heads, K key heads, E head width.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "llava/backend/torch/torch_operations.h"
#include "llava/core/check.h"

namespace llava {
namespace {

// Where the queries of a call stand: query i is at position first_query + i, key j at j.
struct Places {
  int64_t num_queries;
  int64_t num_keys;
  int64_t first_query;
};

// Which keys each query sees, or nothing when it sees all.
std::optional<at::Tensor> visible_TS(const Places& places, const AttentionSpec& spec,
                                     at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(device);
  const at::Tensor query_T1 =
      at::arange(places.first_query, places.first_query + places.num_queries, options).unsqueeze(1);
  const at::Tensor key_1S = at::arange(places.num_keys, options).unsqueeze(0);
  std::optional<at::Tensor> visible;
  if (spec.is_causal && places.first_query < places.num_keys - 1) visible = key_1S <= query_T1;
  if (spec.window > 0 && places.first_query + places.num_queries > spec.window) {
    const at::Tensor is_near = key_1S > query_T1 - spec.window;
    visible = visible ? *visible & is_near : is_near;
  }
  return visible;
}

// Key or value heads repeated so that every query head has its own: [B, S, K, E] -> [B, S, H, E].
at::Tensor repeat_heads(const at::Tensor& x_BSKE, int64_t num_heads) {
  const int64_t num_kv_heads = x_BSKE.size(2);
  if (num_kv_heads == num_heads) return x_BSKE;
  return x_BSKE.unsqueeze(3)
      .expand({-1, -1, -1, num_heads / num_kv_heads, -1})
      .reshape({x_BSKE.size(0), x_BSKE.size(1), num_heads, x_BSKE.size(3)});
}

// q [B, T, H, E] against k and v [B, S, K, E] -> [B, T, H, E].
at::Tensor attend(const at::Tensor& q_BTHE, const at::Tensor& k_BSKE, const at::Tensor& v_BSKE,
                  int64_t first_query, const AttentionSpec& spec) {
  const int64_t num_heads = q_BTHE.size(2);
  const int64_t num_kv_heads = k_BSKE.size(2);
  const Places places{q_BTHE.size(1), k_BSKE.size(1), first_query};
  const auto scale = static_cast<double>(spec.scale);
  // The processor's kernels round the probabilities to a 16-bit dtype; in float32 they need not.
  const at::ScalarType dtype = q_BTHE.scalar_type();
  const at::ScalarType compute = q_BTHE.is_cpu() ? at::kFloat : dtype;
  const at::Tensor q = q_BTHE.to(compute);
  const at::Tensor k = k_BSKE.to(compute);
  const at::Tensor v = v_BSKE.to(compute);

  if (places.num_queries == 1) {
    // The queries that share a key head take the place of the query positions.
    const auto mask = visible_TS(places, spec, q.device());
    return at::scaled_dot_product_attention(
               q.reshape({q.size(0), num_kv_heads, num_heads / num_kv_heads, q.size(3)}),
               k.transpose(1, 2), v.transpose(1, 2), mask, 0.0, /*is_causal=*/false, scale)
        .reshape(q_BTHE.sizes())
        .to(dtype);
  }
  const bool is_plain_causal = spec.is_causal && first_query == 0 &&
                               places.num_queries == places.num_keys &&
                               (spec.window <= 0 || spec.window >= places.num_keys);
  std::optional<at::Tensor> mask;
  if (!is_plain_causal) mask = visible_TS(places, spec, q.device());
  if (q.size(0) == 1 && num_kv_heads != num_heads && q.is_cpu()) {
    // [K, H/K, T, E] against [K, H/K, S, E] without copies of the heads that are shared.
    const int64_t group = num_heads / num_kv_heads;
    const auto shared = [&](const at::Tensor& x_1SKE) {
      return x_1SKE.squeeze(0).transpose(0, 1).unsqueeze(1).expand({-1, group, -1, -1});
    };
    const at::Tensor q_KGTE =
        q.squeeze(0).unflatten(1, {num_kv_heads, group}).permute({1, 2, 0, 3});
    return at::scaled_dot_product_attention(q_KGTE, shared(k), shared(v), mask, 0.0,
                                            is_plain_causal, scale)
        .permute({2, 0, 1, 3})
        .flatten(1, 2)
        .unsqueeze(0)
        .to(dtype);
  }
  return at::scaled_dot_product_attention(
             q.transpose(1, 2), repeat_heads(k, num_heads).transpose(1, 2),
             repeat_heads(v, num_heads).transpose(1, 2), mask, 0.0, is_plain_causal, scale)
      .transpose(1, 2)
      .to(dtype);
}

bool are_alike(std::span<const SequenceSlice> sequences) {
  return std::ranges::all_of(sequences, [&](const SequenceSlice& slice) {
    return slice.num_tokens == sequences.front().num_tokens && slice.num_past == 0;
  });
}

// Rows [begin, end) of a sequence from its pages [pages, page_size, K, E]: a view when the pages
// lie one after another, else a copy. -> [1, end - begin, K, E].
at::Tensor cached_rows(const at::Tensor& pages, const SequenceSlice& slice, int64_t begin,
                       int64_t end) {
  const int64_t page_size = pages.size(1);
  const int64_t first = begin / page_size;
  const int64_t last = (end - 1) / page_size;
  const std::span<const int32_t> used(slice.pages.data() + first,
                                      static_cast<std::size_t>(last - first + 1));
  const bool is_run = std::ranges::adjacent_find(
                          used, [](int32_t a, int32_t b) { return b != a + 1; }) == used.end();
  at::Tensor rows;
  if (is_run) {
    rows = pages.narrow(0, used.front(), last - first + 1);
  } else {
    std::vector<at::Tensor> parts;
    parts.reserve(used.size());
    for (const int32_t page : used) parts.push_back(pages.narrow(0, page, 1));
    rows = at::cat(parts, 0);
  }
  return rows.reshape({1, -1, pages.size(2), pages.size(3)})
      .narrow(1, begin - first * page_size, end - begin);
}

// The same for pages of int8 with scales [pages, page_size, K], as float32.
at::Tensor cached_rows(const at::Tensor& pages, const at::Tensor& scales,
                       const SequenceSlice& slice, int64_t begin, int64_t end) {
  return cached_rows(pages, slice, begin, end).to(at::kFloat) *
         cached_rows(scales.unsqueeze(-1), slice, begin, end);
}

// Codes and scales of rows [T, K, E], as ops::kv_write says.
struct Quantized {
  at::Tensor codes_TKE;
  at::Tensor scales_TK;
};

Quantized quantize(const at::Tensor& rows_TKE) {
  const at::Tensor x = rows_TKE.to(at::kFloat);
  const at::Tensor largest = x.abs().amax(-1, /*keepdim=*/true);
  const at::Tensor is_zero = largest < 0x1.0p-120;
  const at::Tensor factor = at::where(is_zero, 0.0, at::full_like(largest, 127.0) / largest);
  const at::Tensor codes = (x * factor).round().clamp(-127, 127).nan_to_num(0.0);
  const at::Tensor scales = at::where(is_zero, 0.0, largest / 127.0);
  return {codes.to(at::kChar), scales.squeeze(-1)};
}

}  // namespace

// Rows that come before a sequence's own: nearly always a run.
at::Tensor TorchBackend::past_rows(const at::Tensor& x, const std::vector<int32_t>& rows) const {
  if (rows.back() - rows.front() + 1 == static_cast<int32_t>(rows.size()) &&
      std::ranges::is_sorted(rows)) {
    return x.narrow(0, rows.front(), static_cast<int64_t>(rows.size()));
  }
  return x.index_select(0, index_tensor(rows));
}

Tensor TorchBackend::attention(const Tensor& q_THE, const Tensor& k_TKE, const Tensor& v_TKE,
                               std::span<const SequenceSlice> sequences,
                               const AttentionSpec& spec) {
  return run([&] {
    const at::Tensor q = use(q_THE);
    const at::Tensor k = use(k_TKE);
    const at::Tensor v = use(v_TKE);
    if (q.numel() == 0) return from_at(q);
    const bool repeats_heads = q.size(1) != k.size(1) && q.is_cpu();
    if (are_alike(sequences) && !repeats_heads) {
      const auto num_sequences = static_cast<int64_t>(sequences.size());
      const auto batched = [&](const at::Tensor& x) {
        return x.view({num_sequences, -1, x.size(1), x.size(2)});
      };
      return from_at(attend(batched(q), batched(k), batched(v), 0, spec).reshape(q.sizes()));
    }
    std::vector<at::Tensor> parts;
    for (const SequenceSlice& slice : sequences) {
      if (slice.num_tokens == 0) continue;
      const auto own = [&](const at::Tensor& x) {
        return x.narrow(0, slice.first_token, slice.num_tokens).unsqueeze(0);
      };
      const auto with_past = [&](const at::Tensor& x) {
        if (slice.num_past == 0) return own(x);
        return at::cat({past_rows(x, slice.pages).unsqueeze(0), own(x)}, 1);
      };
      parts.push_back(attend(own(q), with_past(k), with_past(v), slice.num_past, spec).squeeze(0));
    }
    return from_at(at::cat(parts, 0));
  });
}

void TorchBackend::kv_write(KvLayer& layer, const Tensor& k_TKE, const Tensor& v_TKE,
                            std::span<const SequenceSlice> sequences) {
  const int64_t page_size = layer.key_pages.dim(1);
  LLAVA_CHECK(layer.key_pages.dim(0) * page_size <= INT32_MAX, "{} pages of {}",
              layer.key_pages.dim(0), page_size);
  std::vector<int32_t> slots;
  slots.reserve(static_cast<std::size_t>(k_TKE.dim(0)));
  for (const SequenceSlice& slice : sequences) {
    for (int64_t t = slice.num_past; t < int64_t{slice.num_past} + slice.num_tokens; ++t) {
      const int64_t page = slice.pages[static_cast<std::size_t>(t / page_size)];
      slots.push_back(static_cast<int32_t>(page * page_size + t % page_size));
    }
  }
  run([&] {
    const c10::InferenceMode inference;
    const at::Tensor index = index_tensor(slots);
    const auto write = [&](const Tensor& pages, const Tensor& scales, const Tensor& rows) {
      const at::Tensor target = use(pages).flatten(0, 1);
      if (!scales.is_defined()) {
        target.index_copy_(0, index, use(rows).to(target.scalar_type()));
        return;
      }
      const Quantized quantized = quantize(use(rows));
      target.index_copy_(0, index, quantized.codes_TKE);
      use(scales).flatten(0, 1).index_copy_(0, index, quantized.scales_TK);
    };
    write(layer.key_pages, layer.key_scales, k_TKE);
    write(layer.value_pages, layer.value_scales, v_TKE);
  });
}

Tensor TorchBackend::attention_cached(const Tensor& q_THE, const KvLayer& layer,
                                      std::span<const SequenceSlice> sequences,
                                      const AttentionSpec& spec) {
  return run([&] {
    const at::Tensor q = use(q_THE);
    const auto read = [&](const Tensor& pages, const Tensor& scales, const SequenceSlice& slice,
                          int64_t begin, int64_t end) {
      return scales.is_defined() ? cached_rows(use(pages), use(scales), slice, begin, end)
                                 : cached_rows(use(pages), slice, begin, end);
    };
    if (q.numel() == 0) return from_at(q);
    std::vector<at::Tensor> parts;
    for (const SequenceSlice& slice : sequences) {
      if (slice.num_tokens == 0) continue;
      const int64_t end = int64_t{slice.num_past} + slice.num_tokens;
      // Keys that not even the first query sees through its window are not read.
      const int64_t begin =
          spec.window > 0 ? std::max<int64_t>(0, int64_t{slice.num_past} + 1 - spec.window) : 0;
      const at::Tensor queries = q.narrow(0, slice.first_token, slice.num_tokens).unsqueeze(0);
      parts.push_back(attend(queries, read(layer.key_pages, layer.key_scales, slice, begin, end),
                             read(layer.value_pages, layer.value_scales, slice, begin, end),
                             slice.num_past - begin, spec)
                          .squeeze(0));
    }
    return from_at(at::cat(parts, 0));
  });
}

}  // namespace llava
