// SPDX-License-Identifier: Apache-2.0
//
// Attention with and without pages. Many query rows of a key head are one kernel call each run of
// rows; the few rows of a decoding step are split over the pieces of their keys, so that few key
// heads still occupy every thread, and put together afterwards.
#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <vector>

#include "llava/backend/native/native_backend.h"
#include "llava/core/check.h"
#include "llava/kernels/dispatch.h"

namespace llava::native {
namespace {

using kernels::AttentionArgs;
using kernels::kAttentionMaxRows;
using kernels::kAttentionPiece;

/// Sequences of at most this many query rows per key head are split over the pieces of their keys.
constexpr int64_t kMaxSplitRows = 16;

/// Where the keys and values of a call lie, with or without pages.
struct KeyValues {
  const std::byte* keys;
  const std::byte* values;
  const float* key_scales;
  const float* value_scales;
  int64_t num_heads;
  int64_t item;
  int64_t page_size;  ///< 0: no pages, a sequence's rows are its tokens
};

/// One kernel call: rows of neighbouring key heads of a sequence, against all keys or one piece.
struct Part {
  const SequenceSlice* sequence;
  int64_t head_begin;
  int64_t head_end;
  int64_t row_begin;
  int64_t row_end;
  int64_t piece;
  int64_t partial;  ///< where its partial results lie, in floats; -1 when it makes whole ones
};

/// Partial results that make all rows of a sequence.
struct Merge {
  const SequenceSlice* sequence;
  int64_t num_rows;
  int64_t piece_begin;
  int64_t piece_end;
  int64_t partial;
  int64_t partial_stride;
};

struct Plan {
  std::vector<Part> parts;
  std::vector<Merge> merges;
  int64_t num_partial_floats = 0;
};

/// What of a call matters to its plan.
struct Problem {
  int64_t num_key_heads;
  int64_t group;
  int64_t width;
  int64_t window;
  int64_t num_threads;
};

/// Pieces that any query of the sequence sees.
std::pair<int64_t, int64_t> visible_pieces(const SequenceSlice& sequence, int64_t window) {
  const int64_t end = int64_t{sequence.num_past} + sequence.num_tokens;
  const int64_t first =
      window > 0 ? std::max<int64_t>(0, int64_t{sequence.num_past} + 1 - window) : 0;
  return {first / kAttentionPiece, (end + kAttentionPiece - 1) / kAttentionPiece};
}

/// Few rows: parts of one piece and several key heads each, whose keys lie side by side. Sequences
/// of several pieces are put together afterwards.
void split_keys(const SequenceSlice& sequence, int64_t num_rows, const Problem& problem,
                int64_t num_sequences, Plan& plan) {
  const auto [begin, end] = visible_pieces(sequence, problem.window);
  const int64_t num_pieces = end - begin;
  // Enough parts that the threads end together, and no more rows than a call takes.
  const int64_t wanted = 4 * problem.num_threads / std::max<int64_t>(1, num_sequences * num_pieces);
  const int64_t heads_per_part =
      std::clamp<int64_t>(problem.num_key_heads / std::max<int64_t>(1, wanted), 1,
                          std::max<int64_t>(1, kernels::kAttentionMaxDirectRows / num_rows));
  const int64_t head_floats = num_rows * kernels::attention_partial_floats(problem.width);
  const int64_t stride = problem.num_key_heads * head_floats;
  const int64_t first = plan.num_partial_floats;
  for (int64_t piece = begin; piece < end; ++piece) {
    for (int64_t head = 0; head < problem.num_key_heads; head += heads_per_part) {
      const int64_t head_end = std::min(problem.num_key_heads, head + heads_per_part);
      const int64_t partial =
          num_pieces > 1 ? first + (piece - begin) * stride + head * head_floats : -1;
      plan.parts.push_back({&sequence, head, head_end, 0, num_rows, piece, partial});
    }
  }
  if (num_pieces == 1) return;
  plan.merges.push_back({&sequence, num_rows, begin, end, first, stride});
  plan.num_partial_floats += num_pieces * stride;
}

Plan make_plan(std::span<const SequenceSlice> sequences, const Problem& problem) {
  Plan plan;
  const auto num_sequences = static_cast<int64_t>(sequences.size());
  for (const SequenceSlice& sequence : sequences) {
    const int64_t num_rows = sequence.num_tokens * problem.group;
    if (num_rows == 0) continue;
    if (num_rows <= kMaxSplitRows) {
      split_keys(sequence, num_rows, problem, num_sequences, plan);
      continue;
    }
    // The last query rows of a sequence see the most keys and come first, so that the threads end
    // together.
    for (int64_t end = num_rows; end > 0;) {
      const int64_t begin = (end - 1) / kAttentionMaxRows * kAttentionMaxRows;
      for (int64_t head = 0; head < problem.num_key_heads; ++head) {
        plan.parts.push_back({&sequence, head, head + 1, begin, end, 0, -1});
      }
      end = begin;
    }
  }
  return plan;
}

kernels::KeyValueFormat key_value_format_of(DType dtype) {
  return dtype == DType::kInt8 ? kernels::kKeyValueInt8
                               : static_cast<kernels::KeyValueFormat>(format_of(dtype));
}

const float* scales_or_null(const Tensor& scales) {
  return scales.is_defined() ? scales.data<float>().data() : nullptr;
}

}  // namespace

Tensor NativeBackend::run_attention(const Tensor& q_THE, const KvLayer& layer, int64_t page_size,
                                    std::span<const SequenceSlice> sequences,
                                    const AttentionSpec& spec) {
  const DType stored = layer.key_pages.dtype();
  if (stored != q_THE.dtype() && q_THE.dtype() != DType::kFloat32) {
    return cast(run_attention(cast(q_THE, DType::kFloat32), layer, page_size, sequences, spec),
                q_THE.dtype());
  }
  const kernels::KernelTable& table = kernels::active();
  const kernels::Format format = format_of(q_THE.dtype());
  const kernels::AttentionFn kernel = stored == q_THE.dtype()
                                          ? table.attention[format]
                                          : table.attention_f32[key_value_format_of(stored)];
  const KeyValues cache{layer.key_pages.bytes().data(),
                        layer.value_pages.bytes().data(),
                        scales_or_null(layer.key_scales),
                        scales_or_null(layer.value_scales),
                        layer.key_pages.dim(-2),
                        item_size(stored),
                        page_size};
  Tensor out_THE = results_.empty(q_THE.shape(), q_THE.dtype());
  const int64_t num_heads = q_THE.dim(1);
  const int64_t width = q_THE.dim(2);
  const int64_t item = item_size(q_THE.dtype());
  const int64_t group = num_heads / cache.num_heads;
  const std::byte* q = q_THE.bytes().data();
  std::byte* out = out_THE.mutable_bytes().data();
  const bool is_paged = page_size > 0;
  // Without a cache a sequence's rows are one page, and its position 0 is its first row; one that
  // goes on from other rows has pages of one.
  constexpr std::array<int32_t, 1> kOnePage = {0};
  std::vector<std::vector<int32_t>> rows(is_paged ? 0 : sequences.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (sequences[i].num_past == 0) continue;
    rows[i] = sequences[i].pages;
    rows[i].resize(rows[i].size() + static_cast<std::size_t>(sequences[i].num_tokens));
    std::iota(rows[i].begin() + sequences[i].num_past, rows[i].end(), sequences[i].first_token);
  }

  const auto args_of = [&](const SequenceSlice& sequence, int64_t key_head) {
    const int64_t query = (sequence.first_token * num_heads + key_head * group) * width * item;
    const bool has_rows = !is_paged && sequence.num_past > 0;
    const int64_t first_row = is_paged || has_rows ? 0 : sequence.first_token;
    const int32_t* pages = is_paged ? sequence.pages.data()
                           : has_rows
                               ? rows[static_cast<std::size_t>(&sequence - sequences.data())].data()
                               : kOnePage.data();
    const int64_t first_head = first_row * cache.num_heads + key_head;
    const int64_t keys = first_head * width * cache.item;
    const bool has_scales = cache.key_scales != nullptr;
    return AttentionArgs{
        .q = q + query,
        .q_stride = num_heads * width,
        .out = out + query,
        .out_stride = num_heads * width,
        .cache = {.keys = cache.keys + keys,
                  .values = cache.values + keys,
                  .stride = cache.num_heads * width,
                  .pages = pages,
                  .page_size = is_paged   ? page_size
                               : has_rows ? 1
                                          : std::numeric_limits<int64_t>::max(),
                  .key_scales = has_scales ? cache.key_scales + first_head : nullptr,
                  .value_scales = has_scales ? cache.value_scales + first_head : nullptr,
                  .scale_stride = cache.num_heads},
        .head_width = width,
        .num_key_heads = 1,
        .group = group,
        .row_begin = 0,
        .row_end = 0,
        .first_position = sequence.num_past,
        .num_keys = int64_t{sequence.num_past} + sequence.num_tokens,
        .window = spec.window,
        .scale = spec.scale,
        .is_causal = spec.is_causal,
        .partials = nullptr,
        .partial_stride = 0,
        .piece_begin = 0,
        .piece_end = 0,
        .scratch = nullptr};
  };

  const Plan plan = make_plan(sequences, {.num_key_heads = cache.num_heads,
                                          .group = group,
                                          .width = width,
                                          .window = spec.window,
                                          .num_threads = pool_.num_threads()});
  // One working memory a thread, and the partial results behind them.
  const std::size_t scratch_bytes = (kernels::attention_scratch_bytes(width) + 63) / 64 * 64;
  const std::size_t all_scratch_bytes =
      scratch_bytes * static_cast<std::size_t>(pool_.num_threads());
  const ScratchPool::Lease scratch = scratch_.borrow(
      all_scratch_bytes + static_cast<std::size_t>(plan.num_partial_floats) * sizeof(float));
  auto* const partial_floats = reinterpret_cast<float*>(scratch.data() + all_scratch_bytes);
  pool_.run(static_cast<int64_t>(plan.parts.size()), [&](int64_t index, int thread) {
    const Part& part = plan.parts[static_cast<std::size_t>(index)];
    AttentionArgs args = args_of(*part.sequence, part.head_begin);
    args.num_key_heads = part.head_end - part.head_begin;
    args.row_begin = part.row_begin;
    args.row_end = part.row_end;
    args.piece_begin = part.piece;
    if (part.partial >= 0) args.partials = partial_floats + part.partial;
    args.scratch = scratch.data() + scratch_bytes * static_cast<std::size_t>(thread);
    kernel(args);
  });
  // Pieces of a context are few: this costs less than handing it to other threads.
  for (const Merge& merge : plan.merges) {
    AttentionArgs args = args_of(*merge.sequence, 0);
    args.num_key_heads = cache.num_heads;
    args.row_end = merge.num_rows;
    args.partials = partial_floats + merge.partial;
    args.partial_stride = merge.partial_stride;
    args.piece_begin = merge.piece_begin;
    args.piece_end = merge.piece_end;
    args.scratch = scratch.data();
    table.attention_merge[format](args);
  }
  return out_THE;
}

Tensor NativeBackend::attention(const Tensor& q_THE, const Tensor& k_TKE, const Tensor& v_TKE,
                                std::span<const SequenceSlice> sequences,
                                const AttentionSpec& spec) {
  return run_attention(q_THE, {.key_pages = k_TKE, .value_pages = v_TKE}, 0, sequences, spec);
}

Tensor NativeBackend::attention_cached(const Tensor& q_THE, const KvLayer& layer,
                                       std::span<const SequenceSlice> sequences,
                                       const AttentionSpec& spec) {
  return run_attention(q_THE, layer, layer.key_pages.dim(1), sequences, spec);
}

}  // namespace llava::native
