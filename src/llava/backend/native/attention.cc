// SPDX-License-Identifier: Apache-2.0
//
// Attention with and without pages: one kernel call per key head and run of query rows.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "llava/backend/native/native_backend.h"
#include "llava/core/check.h"
#include "llava/kernels/dispatch.h"

namespace llava::native {
namespace {

struct Part {
  const SequenceSlice* sequence;
  int64_t key_head;
  int64_t row_begin;
  int64_t row_end;
};

/// All parts of the call. The last query rows of a sequence see the most keys and come first, so
/// that the threads end together.
std::vector<Part> split(std::span<const SequenceSlice> sequences, int64_t num_key_heads,
                        int64_t group) {
  std::vector<Part> parts;
  for (const SequenceSlice& sequence : sequences) {
    const int64_t num_rows = sequence.num_tokens * group;
    for (int64_t end = num_rows; end > 0;) {
      const int64_t begin = (end - 1) / kernels::kAttentionMaxRows * kernels::kAttentionMaxRows;
      for (int64_t head = 0; head < num_key_heads; ++head) {
        parts.push_back({&sequence, head, begin, end});
      }
      end = begin;
    }
  }
  return parts;
}

}  // namespace

void NativeBackend::run_attention(const Tensor& q_THE, int64_t num_key_heads, const Tensor& keys,
                                  const Tensor& values, int64_t page_size,
                                  std::span<const SequenceSlice> sequences,
                                  const AttentionSpec& spec, Tensor& out_THE) {
  const kernels::AttentionFn kernel = kernels::active().attention[format_of(q_THE.dtype())];
  const int64_t num_heads = q_THE.dim(1);
  const int64_t width = q_THE.dim(2);
  const int64_t item = item_size(q_THE.dtype());
  const int64_t group = num_heads / num_key_heads;
  const std::byte* q = q_THE.bytes().data();
  const std::byte* k = keys.bytes().data();
  const std::byte* v = values.bytes().data();
  std::byte* out = out_THE.mutable_bytes().data();
  // Without a cache a sequence's rows are one page, and its position 0 is its first row.
  const bool is_paged = page_size > 0;
  constexpr std::array<int32_t, 1> kOnePage = {0};

  const std::vector<Part> parts = split(sequences, num_key_heads, group);
  pool_.run(static_cast<int64_t>(parts.size()), [&](int64_t index) {
    const Part& part = parts[static_cast<std::size_t>(index)];
    const SequenceSlice& sequence = *part.sequence;
    const ScratchPool::Lease scratch = scratch_.borrow(kernels::attention_scratch_bytes(width));
    const int64_t query_offset =
        (sequence.first_token * num_heads + part.key_head * group) * width * item;
    const int64_t first_key = is_paged ? 0 : sequence.first_token;
    const int64_t key_offset = (first_key * num_key_heads + part.key_head) * width * item;
    kernel({.q = q + query_offset,
            .q_stride = num_heads * width,
            .out = out + query_offset,
            .out_stride = num_heads * width,
            .cache = {.keys = k + key_offset,
                      .values = v + key_offset,
                      .stride = num_key_heads * width,
                      .pages = is_paged ? sequence.pages.data() : kOnePage.data(),
                      .page_size = is_paged ? page_size : std::numeric_limits<int64_t>::max()},
            .head_width = width,
            .group = group,
            .row_begin = part.row_begin,
            .row_end = part.row_end,
            .first_position = sequence.num_past,
            .num_keys = int64_t{sequence.num_past} + sequence.num_tokens,
            .window = spec.window,
            .scale = spec.scale,
            .is_causal = spec.is_causal,
            .scratch = scratch.data()});
  });
}

Tensor NativeBackend::attention(const Tensor& q_THE, const Tensor& k_TKE, const Tensor& v_TKE,
                                std::span<const SequenceSlice> sequences,
                                const AttentionSpec& spec) {
  Tensor out_THE = Tensor::empty(q_THE.shape(), q_THE.dtype());
  run_attention(q_THE, k_TKE.dim(1), k_TKE, v_TKE, 0, sequences, spec, out_THE);
  return out_THE;
}

Tensor NativeBackend::attention_cached(const Tensor& q_THE, const KvLayer& layer,
                                       std::span<const SequenceSlice> sequences,
                                       const AttentionSpec& spec) {
  Tensor out_THE = Tensor::empty(q_THE.shape(), q_THE.dtype());
  run_attention(q_THE, layer.key_pages.dim(2), layer.key_pages, layer.value_pages,
                layer.key_pages.dim(1), sequences, spec, out_THE);
  return out_THE;
}

void NativeBackend::kv_write(KvLayer& layer, const Tensor& k_TKE, const Tensor& v_TKE,
                             std::span<const SequenceSlice> sequences) {
  const int64_t page_size = layer.key_pages.dim(1);
  const int64_t token_bytes = k_TKE.dim(1) * k_TKE.dim(2) * item_size(k_TKE.dtype());
  const auto size = static_cast<std::size_t>(token_bytes);
  const std::byte* k = k_TKE.bytes().data();
  const std::byte* v = v_TKE.bytes().data();
  std::byte* key_pages = layer.key_pages.mutable_bytes().data();
  std::byte* value_pages = layer.value_pages.mutable_bytes().data();
  constexpr int64_t kMinBytes = 65536;
  for (const SequenceSlice& sequence : sequences) {
    pool_.run_ranges(sequence.num_tokens, kMinBytes / std::max<int64_t>(1, token_bytes),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i) {
                         const int64_t position = sequence.num_past + i;
                         const int64_t page =
                             sequence.pages[static_cast<std::size_t>(position / page_size)];
                         const int64_t row = page * page_size + position % page_size;
                         const int64_t source = (sequence.first_token + i) * token_bytes;
                         std::memcpy(key_pages + row * token_bytes, k + source, size);
                         std::memcpy(value_pages + row * token_bytes, v + source, size);
                       }
                     });
  }
}

}  // namespace llava::native
