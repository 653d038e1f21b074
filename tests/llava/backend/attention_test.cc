// SPDX-License-Identifier: Apache-2.0
//
// attention, kv_write and attention_cached against softmax in double precision.
#include <algorithm>
#include <array>
#include <cmath>

#include "llava/backend/backend_case.h"

namespace llava {
namespace {

struct Heads {
  int64_t query;
  int64_t key;
  int64_t width;
};

// One sequence: q [T, H, E] at positions first_query on, k and v [S, K, E]; appends T * H * E
// values and errors.
void append_attention(const std::vector<double>& q, const std::vector<double>& k,
                      const std::vector<double>& v, const Heads& heads, int64_t first_query,
                      const AttentionSpec& spec, std::vector<double>& values,
                      std::vector<double>& errors) {
  const auto width = static_cast<std::size_t>(heads.width);
  const auto num_heads = static_cast<std::size_t>(heads.query);
  const auto num_kv_heads = static_cast<std::size_t>(heads.key);
  const std::size_t num_queries = q.size() / (num_heads * width);
  const std::size_t num_keys = k.size() / (num_kv_heads * width);
  const auto scale = static_cast<double>(spec.scale);
  for (std::size_t t = 0; t < num_queries; ++t) {
    const int64_t position = first_query + static_cast<int64_t>(t);
    for (std::size_t h = 0; h < num_heads; ++h) {
      const double* query = q.data() + (t * num_heads + h) * width;
      const std::size_t kv_head = h / (num_heads / num_kv_heads);
      std::vector<double> scores;
      std::vector<std::size_t> keys;
      double score_error = 0;
      for (std::size_t j = 0; j < num_keys; ++j) {
        const auto key_position = static_cast<int64_t>(j);
        if (spec.is_causal && key_position > position) continue;
        if (spec.window > 0 && key_position <= position - spec.window) continue;
        const double* key = k.data() + (j * num_kv_heads + kv_head) * width;
        double score = 0;
        double magnitude = 0;
        for (std::size_t e = 0; e < width; ++e) {
          score += query[e] * key[e];
          magnitude += std::fabs(query[e] * key[e]);
        }
        scores.push_back(score * scale);
        keys.push_back(j);
        score_error = std::max(
            score_error, (static_cast<double>(width) + 4) * kFloatRoundoff * magnitude * scale);
      }
      const double largest = *std::max_element(scores.begin(), scores.end());
      double total = 0;
      for (double& score : scores) {
        score = std::exp(score - largest);
        total += score;
      }
      const double relative =
          2 * score_error + (2 * static_cast<double>(keys.size()) + 32) * kFloatRoundoff;
      for (std::size_t e = 0; e < width; ++e) {
        double sum = 0;
        double magnitude = 0;
        for (std::size_t n = 0; n < keys.size(); ++n) {
          const double term = scores[n] / total * v[(keys[n] * num_kv_heads + kv_head) * width + e];
          sum += term;
          magnitude += std::fabs(term);
        }
        values.push_back(sum);
        errors.push_back(relative * magnitude);
      }
    }
  }
}

class AttentionTest : public BackendCase {
 protected:
  // Sequences of these lengths, one after the other, without a cache.
  static std::vector<SequenceSlice> slices(const std::vector<int32_t>& lengths) {
    std::vector<SequenceSlice> list;
    int32_t first = 0;
    for (const int32_t length : lengths) {
      list.push_back({.first_token = first, .num_tokens = length, .num_past = 0, .pages = {}});
      first += length;
    }
    return list;
  }

  void check(const std::vector<int32_t>& lengths, const Heads& heads, const AttentionSpec& spec) {
    const std::vector<SequenceSlice> sequences = slices(lengths);
    int64_t total = 0;
    for (const int32_t length : lengths) total += length;
    const Tensor q = arguments.tensor({total, heads.query, heads.width}, dtype(), 2.0);
    const Tensor k = arguments.tensor({total, heads.key, heads.width}, dtype(), 2.0);
    const Tensor v = arguments.tensor({total, heads.key, heads.width}, dtype(), 2.0);
    Expected expected({total, heads.query, heads.width});
    expected.values.clear();
    expected.errors.clear();
    for (const SequenceSlice& slice : sequences) {
      const int64_t end = slice.first_token + slice.num_tokens;
      append_attention(to_doubles(q.rows(slice.first_token, end)),
                       to_doubles(k.rows(slice.first_token, end)),
                       to_doubles(v.rows(slice.first_token, end)), heads, 0, spec, expected.values,
                       expected.errors);
    }
    expect_close(host(ops::attention(ctx(), q, k, v, sequences, spec)), expected, dtype());
  }
};

TEST_P(AttentionTest, CausalSequencesDoNotSeeEachOther) {
  const AttentionSpec spec{.scale = 0.25f, .is_causal = true, .window = 0};
  check({7, 1, 19, 0, 4}, {.query = 4, .key = 4, .width = 16}, spec);
  check({6, 6, 6}, {.query = 2, .key = 2, .width = 24}, spec);
  check({130}, {.query = 2, .key = 1, .width = 64}, spec);
}

TEST_P(AttentionTest, BidirectionalImages) {
  const AttentionSpec spec{.scale = 0.125f, .is_causal = false, .window = 0};
  check({17, 17}, {.query = 3, .key = 3, .width = 16}, spec);
  check({5, 33}, {.query = 2, .key = 2, .width = 80}, spec);
}

TEST_P(AttentionTest, QueryHeadsShareKeyHeads) {
  const AttentionSpec spec{.scale = 0.18f, .is_causal = true, .window = 0};
  check({11, 3}, {.query = 6, .key = 2, .width = 32}, spec);
  check({9}, {.query = 9, .key = 3, .width = 64}, spec);
  check({1, 1, 1}, {.query = 4, .key = 1, .width = 8}, spec);
}

TEST_P(AttentionTest, WindowLimitsThePast) {
  for (const int32_t window : {1, 3, 8, 100}) {
    SCOPED_TRACE(window);
    const AttentionSpec spec{.scale = 0.3f, .is_causal = true, .window = window};
    check({12, 5}, {.query = 4, .key = 2, .width = 16}, spec);
  }
}

// Two sequences go on from the same rows, one of them far beyond the kernels' tiles: each is as if
// it had those rows to itself.
TEST_P(AttentionTest, SequencesShareABeginning) {
  const Heads heads{.query = 4, .key = 2, .width = 16};
  constexpr int32_t kShared = 7;
  for (const int32_t window : {0, 5}) {
    const AttentionSpec spec{.scale = 0.3f, .is_causal = true, .window = window};
    const std::vector<int32_t> past{0, 1, 2, 3, 4, 5, 6};
    const std::vector<int32_t> turned{6, 1, 2, 3, 4, 5, 0};
    for (const std::vector<int32_t>& second : {past, turned}) {
      const std::vector<SequenceSlice> shared{
          {.first_token = 0, .num_tokens = kShared, .num_past = 0, .pages = {}},
          {.first_token = 7, .num_tokens = 3, .num_past = kShared, .pages = past},
          {.first_token = 10, .num_tokens = 70, .num_past = kShared, .pages = second}};
      const Tensor q = arguments.tensor({80, heads.query, heads.width}, dtype(), 2.0);
      const Tensor k = arguments.tensor({80, heads.key, heads.width}, dtype(), 2.0);
      const Tensor v = arguments.tensor({80, heads.key, heads.width}, dtype(), 2.0);
      const std::vector<double> got =
          to_doubles(host(ops::attention(ctx(), q, k, v, shared, spec)));
      for (const SequenceSlice& slice : shared) {
        std::vector<int32_t> rows = slice.pages;
        for (int32_t t = 0; t < slice.num_tokens; ++t) rows.push_back(slice.first_token + t);
        const auto own = [&](const Tensor& x) { return ops::gather_rows(ctx(), x, rows); };
        const std::vector<double> alone = to_doubles(host(ops::attention(
            ctx(), own(q), own(k), own(v), slices({static_cast<int32_t>(rows.size())}), spec)));
        const auto row = static_cast<std::size_t>(heads.query * heads.width);
        for (std::size_t i = 0; i < static_cast<std::size_t>(slice.num_tokens) * row; ++i) {
          ASSERT_NEAR(got[static_cast<std::size_t>(slice.first_token) * row + i],
                      alone[static_cast<std::size_t>(slice.num_past) * row + i],
                      unit_at(2.0, dtype()) + 1e-6)
              << slice.first_token << " " << i;
        }
      }
    }
  }
}

TEST_P(AttentionTest, LargeScoresDoNotOverflow) {
  // Scores of several hundred: the softmax must subtract its maximum.
  const AttentionSpec spec{.scale = 30.0f, .is_causal = true, .window = 0};
  const Tensor q = arguments.tensor({6, 2, 16}, dtype(), 2.0);
  const Tensor v = arguments.tensor({6, 2, 16}, dtype());
  const std::vector<double> values = to_doubles(v);
  for (const double out : to_doubles(host(ops::attention(ctx(), q, q, v, slices({6}), spec)))) {
    EXPECT_LE(std::fabs(out), 1.01);
  }
}

// Sequences whose tokens arrive in chunks, against pages that do not lie in order.
class CachedAttentionTest : public AttentionTest {
 protected:
  static constexpr int32_t kPageSize = 4;
  static constexpr int32_t kNumPages = 24;

  void check_chunks(const std::vector<std::vector<int32_t>>& chunks_of_sequence, const Heads& heads,
                    const AttentionSpec& spec) {
    KvLayer layer{ops::from_host(ctx(), filled({kNumPages, kPageSize, heads.key, heads.width})),
                  ops::from_host(ctx(), filled({kNumPages, kPageSize, heads.key, heads.width}))};
    const std::size_t num_sequences = chunks_of_sequence.size();
    std::vector<SequenceSlice> state(num_sequences);
    std::vector<Tensor> keys(num_sequences);
    std::vector<Tensor> values(num_sequences);
    int32_t next_page = 0;
    for (std::size_t step = 0; step < chunks_of_sequence[0].size(); ++step) {
      int32_t total = 0;
      for (std::size_t s = 0; s < num_sequences; ++s) {
        SequenceSlice& slice = state[s];
        slice.num_past += slice.num_tokens;
        slice.first_token = total;
        slice.num_tokens = chunks_of_sequence[s][step];
        total += slice.num_tokens;
        while (static_cast<int32_t>(slice.pages.size()) * kPageSize <
               slice.num_past + slice.num_tokens) {
          // 7 and 24 share no factor: every page once, out of order; sequence 1 gets runs.
          slice.pages.push_back(next_page++ * 7 % kNumPages);
        }
      }
      const Tensor q = arguments.tensor({total, heads.query, heads.width}, dtype(), 2.0);
      const Tensor k = arguments.tensor({total, heads.key, heads.width}, dtype(), 2.0);
      const Tensor v = arguments.tensor({total, heads.key, heads.width}, dtype(), 2.0);
      ops::kv_write(ctx(), layer, k, v, state);
      Expected expected({total, heads.query, heads.width});
      expected.values.clear();
      expected.errors.clear();
      for (std::size_t s = 0; s < num_sequences; ++s) {
        const SequenceSlice& slice = state[s];
        const int64_t end = slice.first_token + slice.num_tokens;
        append(keys[s], k.rows(slice.first_token, end));
        append(values[s], v.rows(slice.first_token, end));
        append_attention(to_doubles(q.rows(slice.first_token, end)), to_doubles(keys[s]),
                         to_doubles(values[s]), heads, slice.num_past, spec, expected.values,
                         expected.errors);
      }
      SCOPED_TRACE(testing::Message() << "step " << step);
      expect_close(host(ops::attention_cached(ctx(), q, layer, state, spec)), expected, dtype());
    }
    expect_others_untouched(layer, state);
  }

  Tensor filled(const Shape& shape) {
    Tensor x = Tensor::empty(shape, DType::kFloat32);
    for (float& value : x.mutable_data<float>()) value = kUnwritten;
    return host_cast(x, dtype());
  }

  void append(Tensor& all, const Tensor& rows) {
    if (!all.is_defined()) {
      all = rows;
      return;
    }
    const std::array<Tensor, 2> parts{all, rows};
    all = host(ops::concat_rows(ctx(), parts));
  }

  // Slots that belong to no token keep what was in them.
  void expect_others_untouched(const KvLayer& layer, const std::vector<SequenceSlice>& state) {
    std::vector<bool> is_written(kNumPages * kPageSize, false);
    for (const SequenceSlice& slice : state) {
      for (int32_t t = 0; t < slice.num_past + slice.num_tokens; ++t) {
        const int32_t page = slice.pages[static_cast<std::size_t>(t / kPageSize)];
        is_written[static_cast<std::size_t>(page * kPageSize + t % kPageSize)] = true;
      }
    }
    for (const Tensor& pages : {layer.key_pages, layer.value_pages}) {
      const std::vector<double> slots = to_doubles(host(pages));
      const std::size_t slot_size = slots.size() / is_written.size();
      for (std::size_t i = 0; i < slots.size(); ++i) {
        EXPECT_EQ(slots[i] == static_cast<double>(kUnwritten), !is_written[i / slot_size]);
      }
    }
  }

  // What the pages hold for the sequence's positions, [S, K, E].
  std::vector<double> stored_rows(const Tensor& pages, const Tensor& scales,
                                  const SequenceSlice& slice) {
    const Tensor codes = host(pages);
    const Tensor factors = scales.is_defined() ? host(scales) : Tensor();
    const std::vector<double> all =
        codes.dtype() == DType::kInt8
            ? std::vector<double>(codes.data<int8_t>().begin(), codes.data<int8_t>().end())
            : to_doubles(codes);
    const auto width = static_cast<std::size_t>(codes.dim(3));
    const std::size_t slot_size = static_cast<std::size_t>(codes.dim(2)) * width;
    std::vector<double> rows;
    for (int32_t t = 0; t < slice.num_past + slice.num_tokens; ++t) {
      const int32_t page = slice.pages[static_cast<std::size_t>(t / kPageSize)];
      const auto slot = static_cast<std::size_t>(page * kPageSize + t % kPageSize);
      for (std::size_t i = slot * slot_size; i < (slot + 1) * slot_size; ++i) {
        const double factor =
            factors.is_defined() ? static_cast<double>(factors.data<float>()[i / width]) : 1.0;
        rows.push_back(all[i] * factor);
      }
    }
    return rows;
  }

  static void expect_held(const std::vector<double>& held, const std::vector<double>& rows,
                          DType stored, int64_t width) {
    ASSERT_EQ(held.size(), rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (stored != DType::kInt8) {
        ASSERT_EQ(held[i], rounded(rows[i], stored));
        continue;
      }
      const std::size_t head = i - i % static_cast<std::size_t>(width);
      double largest = 0;
      for (std::size_t e = head; e < head + static_cast<std::size_t>(width); ++e) {
        largest = std::max(largest, std::fabs(rows[e]));
      }
      ASSERT_NEAR(held[i], rows[i], 0.5001 * largest / 127);
    }
  }

  static constexpr float kUnwritten = 12288.0f;
};

TEST_P(CachedAttentionTest, PrefillThenDecode) {
  const AttentionSpec spec{.scale = 0.25f, .is_causal = true, .window = 0};
  check_chunks({{9, 1, 1, 1, 1, 1}}, {.query = 4, .key = 4, .width = 16}, spec);
  check_chunks({{9, 1, 1, 1}}, {.query = 6, .key = 2, .width = 32}, spec);
}

TEST_P(CachedAttentionTest, ChunkedPrefillOfSeveralSequences) {
  const AttentionSpec spec{.scale = 0.2f, .is_causal = true, .window = 0};
  check_chunks({{5, 6, 1, 3}, {1, 1, 1, 1}, {0, 8, 2, 1}}, {.query = 4, .key = 2, .width = 64},
               spec);
}

TEST_P(CachedAttentionTest, WindowAcrossPages) {
  for (const int32_t window : {1, 4, 6, 50}) {
    SCOPED_TRACE(window);
    const AttentionSpec spec{.scale = 0.3f, .is_causal = true, .window = window};
    check_chunks({{7, 5, 1, 1, 1}, {1, 3, 1, 9, 1}}, {.query = 4, .key = 2, .width = 16}, spec);
  }
}

TEST_P(CachedAttentionTest, EqualsAttentionWithoutACache) {
  const Heads heads{.query = 4, .key = 2, .width = 32};
  const AttentionSpec spec{.scale = 0.2f, .is_causal = true, .window = 0};
  const Tensor q = arguments.tensor({10, heads.query, heads.width}, dtype(), 2.0);
  const Tensor k = arguments.tensor({10, heads.key, heads.width}, dtype(), 2.0);
  const Tensor v = arguments.tensor({10, heads.key, heads.width}, dtype(), 2.0);
  KvLayer layer{ops::from_host(ctx(), filled({4, kPageSize, heads.key, heads.width})),
                ops::from_host(ctx(), filled({4, kPageSize, heads.key, heads.width}))};
  const std::vector<SequenceSlice> cached{
      {.first_token = 0, .num_tokens = 10, .num_past = 0, .pages = {3, 0, 2}}};
  ops::kv_write(ctx(), layer, k, v, cached);
  const std::vector<double> from_pages =
      to_doubles(host(ops::attention_cached(ctx(), q, layer, cached, spec)));
  const std::vector<double> direct =
      to_doubles(host(ops::attention(ctx(), q, k, v, slices({10}), spec)));
  for (std::size_t i = 0; i < direct.size(); ++i) {
    EXPECT_NEAR(from_pages[i], direct[i], unit_at(2.0, dtype()) + 1e-6);
  }
}

// Pages of each dtype under queries of each: what they hold is the new rows rounded to it, and the
// result is exact attention over what they hold.
TEST_P(CachedAttentionTest, PagesHaveADtypeOfTheirOwn) {
  const Heads heads{.query = 6, .key = 2, .width = 32};
  const AttentionSpec spec{.scale = 0.2f, .is_causal = true, .window = 0};
  for (const DType stored : {DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kInt8}) {
    SCOPED_TRACE(dtype_name(stored));
    const Shape shape{kNumPages, kPageSize, heads.key, heads.width};
    const auto zeros = [&](const Shape& dims, DType type) {
      return ops::from_host(ctx(), Tensor::zeros(dims, type));
    };
    KvLayer layer{.key_pages = zeros(shape, stored), .value_pages = zeros(shape, stored)};
    if (stored == DType::kInt8) {
      layer.key_scales = zeros({kNumPages, kPageSize, heads.key}, DType::kFloat32);
      layer.value_scales = zeros({kNumPages, kPageSize, heads.key}, DType::kFloat32);
    }
    SequenceSlice slice{.first_token = 0, .num_tokens = 40, .num_past = 0, .pages = {}};
    for (int32_t page = 0; page < 12; ++page) slice.pages.push_back(page * 7 % kNumPages);
    Tensor all_keys;
    Tensor all_values;
    for (const int32_t num_tokens : {40, 1, 5}) {
      slice.num_tokens = num_tokens;
      const Tensor q = arguments.tensor({num_tokens, heads.query, heads.width}, dtype(), 2.0);
      const Tensor k = arguments.tensor({num_tokens, heads.key, heads.width}, dtype(), 2.0);
      const Tensor v = arguments.tensor({num_tokens, heads.key, heads.width}, dtype(), 2.0);
      ops::kv_write(ctx(), layer, k, v, {&slice, 1});
      const std::vector<double> keys = stored_rows(layer.key_pages, layer.key_scales, slice);
      const std::vector<double> values = stored_rows(layer.value_pages, layer.value_scales, slice);
      append(all_keys, k);
      append(all_values, v);
      expect_held(keys, to_doubles(all_keys), stored, heads.width);
      expect_held(values, to_doubles(all_values), stored, heads.width);
      Expected expected({num_tokens, heads.query, heads.width});
      expected.values.clear();
      expected.errors.clear();
      append_attention(to_doubles(q), keys, values, heads, slice.num_past, spec, expected.values,
                       expected.errors);
      expect_close(host(ops::attention_cached(ctx(), q, layer, {&slice, 1}, spec)), expected,
                   dtype());
      slice.num_past += num_tokens;
    }
  }
}

LLAVA_ON_ALL_BACKENDS(AttentionTest);
LLAVA_ON_ALL_BACKENDS(CachedAttentionTest);

}  // namespace
}  // namespace llava
