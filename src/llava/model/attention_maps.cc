// SPDX-License-Identifier: Apache-2.0
#include "llava/model/attention_maps.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "llava/core/check.h"

namespace llava::model {
namespace {

/// Keys that one query sees: [begin, end).
PositionRange visible_keys(int64_t position, int64_t num_keys, const AttentionSpec& spec) {
  const int64_t end = spec.is_causal ? position + 1 : num_keys;
  const int64_t begin = spec.window > 0 ? std::max<int64_t>(0, position - spec.window + 1) : 0;
  return {static_cast<int32_t>(begin), static_cast<int32_t>(end)};
}

/// Where the positions [0, num_keys) of a sequence lie among the rows of all pages and heads.
std::vector<int32_t> key_rows(const SequenceSlice& sequence, int64_t num_keys, int64_t page_size,
                              int64_t num_heads, int64_t head) {
  std::vector<int32_t> rows(static_cast<std::size_t>(num_keys));
  for (int64_t t = 0; t < num_keys; ++t) {
    const int64_t page = sequence.pages[static_cast<std::size_t>(t / page_size)];
    const int64_t row = (page * page_size + t % page_size) * num_heads + head;
    rows[static_cast<std::size_t>(t)] = static_cast<int32_t>(row);
  }
  return rows;
}

/// The keys of one head as they enter the scores: [S, E], float32.
Tensor keys_SE(Context& ctx, const KvLayer& layer, std::span<const int32_t> rows) {
  const int64_t width = layer.key_pages.dim(3);
  const Tensor stored = ops::gather_rows(ctx, layer.key_pages.reshape({-1, width}), rows);
  if (!layer.key_scales.is_defined()) return ops::cast(ctx, stored, DType::kFloat32);
  const Tensor codes = ops::to_host(ctx, stored);
  const Tensor scales =
      ops::to_host(ctx, ops::gather_rows(ctx, layer.key_scales.reshape({-1, 1}), rows));
  Tensor keys = Tensor::empty({static_cast<int64_t>(rows.size()), width}, DType::kFloat32);
  const auto code = codes.data<int8_t>();
  const auto scale = scales.data<float>();
  const auto out = keys.mutable_data<float>();
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(code[i]) * scale[i / static_cast<std::size_t>(width)];
  }
  return ops::from_host(ctx, keys);
}

/// Adds the probabilities of one row of scores, as far as they are in the ranges.
void add_probabilities(std::span<float> scores, PositionRange visible, float scale,
                       std::span<const PositionRange> ranges, std::span<double> sums) {
  float largest = -std::numeric_limits<float>::infinity();
  for (int32_t key = visible.begin; key < visible.end; ++key) {
    float& score = scores[static_cast<std::size_t>(key)];
    score *= scale;
    largest = std::max(largest, score);
  }
  double total = 0;
  for (int32_t key = visible.begin; key < visible.end; ++key) {
    float& score = scores[static_cast<std::size_t>(key)];
    score = std::exp(score - largest);
    total += score;
  }
  std::size_t out = 0;
  for (const PositionRange& range : ranges) {
    for (int32_t key = range.begin; key < range.end; ++key, ++out) {
      if (key < visible.begin || key >= visible.end) continue;
      sums[out] += scores[static_cast<std::size_t>(key)] / total;
    }
  }
}

}  // namespace

int64_t num_positions(std::span<const PositionRange> ranges) {
  return std::accumulate(
      ranges.begin(), ranges.end(), int64_t{0},
      [](int64_t sum, const PositionRange& range) { return sum + range.end - range.begin; });
}

AttentionMaps::AttentionMaps(std::vector<AttentionMapRequest> requests)
    : requests_(std::move(requests)), sums_(requests_.size()) {}

void AttentionMaps::add_layer(Context& ctx, const Tensor& q_THE, const KvLayer& layer,
                              std::span<const SequenceSlice> sequences, const AttentionSpec& spec) {
  const int32_t index = num_layers_++;
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    const AttentionMapRequest& request = requests_[i];
    if (request.layer != kAllLayers && request.layer != index) continue;
    add(ctx, i, q_THE, layer, sequences[static_cast<std::size_t>(request.sequence)], spec);
  }
}

void AttentionMaps::add(Context& ctx, std::size_t index, const Tensor& q_THE, const KvLayer& layer,
                        const SequenceSlice& sequence, const AttentionSpec& spec) {
  const AttentionMapRequest& request = requests_[index];
  const int64_t num_rows = sequence.num_tokens - request.first_row;
  const int64_t num_keys = int64_t{sequence.num_past} + sequence.num_tokens;
  const int64_t num_heads = q_THE.dim(1);
  const int64_t width = q_THE.dim(2);
  const int64_t page_size = layer.key_pages.dim(1);
  const int64_t num_key_heads = layer.key_pages.dim(2);
  const int64_t group = num_heads / num_key_heads;
  LLAVA_CHECK(num_rows > 0, "a map of no rows");
  for (const PositionRange& range : request.ranges) {
    LLAVA_CHECK(range.begin >= 0 && range.begin <= range.end && range.end <= num_keys,
                "positions {} to {} of {}", range.begin, range.end, num_keys);
  }
  Sum& sum = sums_[index];
  const int64_t map_width = num_positions(request.ranges);
  sum.values.resize(static_cast<std::size_t>(num_rows * map_width), 0.0);
  sum.num_added += num_heads;
  const Tensor queries = q_THE.reshape({-1, width});
  for (int64_t key_head = 0; key_head < num_key_heads; ++key_head) {
    std::vector<int32_t> query_rows;
    for (int64_t row = 0; row < num_rows; ++row) {
      const int64_t token = sequence.first_token + request.first_row + row;
      for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head) {
        query_rows.push_back(static_cast<int32_t>(token * num_heads + head));
      }
    }
    const Tensor q_RE = ops::cast(ctx, ops::gather_rows(ctx, queries, query_rows), DType::kFloat32);
    const Tensor k_SE =
        keys_SE(ctx, layer, key_rows(sequence, num_keys, page_size, num_key_heads, key_head));
    Tensor scores_RS = ops::to_host(ctx, ops::linear(ctx, q_RE, k_SE, Tensor()));
    const auto scores = scores_RS.mutable_data<float>();
    // The heads of a row are added one after the other; rows are independent.
    const auto add_row = [&](int64_t row) {
      const int64_t position = int64_t{sequence.num_past} + request.first_row + row;
      for (int64_t head = 0; head < group; ++head) {
        add_probabilities(scores.subspan(static_cast<std::size_t>((row * group + head) * num_keys),
                                         static_cast<std::size_t>(num_keys)),
                          visible_keys(position, num_keys, spec), spec.scale, request.ranges,
                          std::span(sum.values)
                              .subspan(static_cast<std::size_t>(row * map_width),
                                       static_cast<std::size_t>(map_width)));
      }
    };
    if (ctx.pool != nullptr) {
      ctx.pool->run(num_rows, add_row);
    } else {
      for (int64_t row = 0; row < num_rows; ++row) add_row(row);
    }
  }
}

std::vector<float> AttentionMaps::map(std::size_t request) const {
  const Sum& sum = sums_[request];
  LLAVA_CHECK(sum.num_added > 0, "layer {} did not run", requests_[request].layer);
  std::vector<float> values(sum.values.size());
  std::ranges::transform(sum.values, values.begin(), [&](double value) {
    return static_cast<float>(value / static_cast<double>(sum.num_added));
  });
  return values;
}

}  // namespace llava::model
