// SPDX-License-Identifier: Apache-2.0
//
// What only the native backend promises: an element of a result depends on the rows it is computed
// from and on nothing else. Everything here is compared bit for bit, on every kernel table.
#include "llava/backend/native/native_backend.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <ostream>

#include "llava/backend/backend_case.h"
#include "llava/core/thread_pool.h"
#include "llava/kernels/dispatch.h"

namespace llava {
namespace {

struct Setting {
  std::string kernels;
  DType dtype;
};

std::string setting_text(const Setting& setting) {
  return setting.kernels + "_" + std::string(dtype_name(setting.dtype));
}

void PrintTo(const Setting& setting, std::ostream* out) { *out << setting_text(setting); }

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const kernels::KernelTable* table : kernels::available()) {
    for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
      all.push_back({table->name, dtype});
    }
  }
  return all;
}

testing::AssertionResult same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) {
    return testing::AssertionFailure() << to_text(a.shape()) << " and " << to_text(b.shape());
  }
  const auto item = static_cast<std::size_t>(item_size(a.dtype()));
  for (std::size_t i = 0; i < a.bytes().size(); i += item) {
    if (std::memcmp(a.bytes().data() + i, b.bytes().data() + i, item) != 0) {
      return testing::AssertionFailure() << "they differ at element " << i / item;
    }
  }
  return testing::AssertionSuccess();
}

class NativeBackendTest : public testing::TestWithParam<Setting> {
 protected:
  DType dtype() const { return GetParam().dtype; }
  // Rows [begin, end) of a result, as a tensor of their own.
  Tensor alone(const Tensor& x, int64_t begin, int64_t end) {
    std::vector<int32_t> rows(static_cast<std::size_t>(end - begin));
    std::iota(rows.begin(), rows.end(), static_cast<int32_t>(begin));
    return ops::gather_rows(ctx_, x, rows);
  }

  Arguments arguments_{7};
  ThreadPool pool_{2};
  native::NativeBackend backend_{pool_};
  Context ctx_{backend_};

 private:
  kernels::ScopedKernels kernels_{GetParam().kernels};
};

TEST_P(NativeBackendTest, LinearRowIsTheSameAloneAndInAnyCompany) {
  for (const int64_t num_inputs : {1, 17, 64, 1031, 4100}) {
    for (const int64_t num_outputs : {1, 6, 64, 131}) {
      const Tensor x = arguments_.tensor({23, num_inputs}, dtype());
      const Tensor weight = arguments_.tensor({num_outputs, num_inputs}, dtype());
      const Tensor bias = arguments_.tensor({num_outputs}, dtype());
      const Tensor all = ops::linear(ctx_, x, weight, bias);
      for (int64_t begin = 0; begin < 23; begin += 5) {
        for (const int64_t count : {1, 2, 3, 4, 5, 6, 7, 8, 13}) {
          const int64_t end = std::min<int64_t>(23, begin + count);
          const Tensor some = ops::linear(ctx_, alone(x, begin, end), weight, bias);
          ASSERT_TRUE(same_bits(some, alone(all, begin, end)))
              << num_inputs << " inputs, " << num_outputs << " outputs, rows " << begin << " to "
              << end;
        }
      }
    }
  }
}

TEST_P(NativeBackendTest, LinearOutputDoesNotDependOnTheOtherOutputs) {
  const Tensor x = arguments_.tensor({9, 300}, dtype());
  const Tensor weight = arguments_.tensor({150, 300}, dtype());
  const Tensor all = ops::linear(ctx_, x, weight, {});
  for (const int64_t begin : {0, 1, 62, 63, 64, 149}) {
    const Tensor one = ops::linear(ctx_, x, weight.rows(begin, begin + 1), {});
    const std::vector<double> expected = to_doubles(all);
    const std::vector<double> got = to_doubles(one);
    for (std::size_t r = 0; r < 9; ++r) {
      EXPECT_EQ(got[r], expected[r * 150 + static_cast<std::size_t>(begin)]);
    }
  }
}

TEST_P(NativeBackendTest, LinearTakesMoreRowsThanOneTurnHolds) {
  const int64_t num_rows = kernels::kLinearMaxRows + 3;
  const Tensor x = arguments_.tensor({num_rows, 40}, dtype());
  const Tensor weight = arguments_.tensor({9, 40}, dtype());
  const Tensor all = ops::linear(ctx_, x, weight, {});
  const Tensor last = ops::linear(ctx_, alone(x, num_rows - 4, num_rows), weight, {});
  EXPECT_TRUE(same_bits(last, alone(all, num_rows - 4, num_rows)));
}

TEST_P(NativeBackendTest, RowWiseOperationsAreTheSameAlone) {
  for (const int64_t width : {8, 50, 129}) {
    const Tensor x = arguments_.tensor({40, 1, width}, dtype(), 3.0);
    const Tensor y = arguments_.tensor({40, 1, width}, dtype(), 3.0);
    const Tensor weight = arguments_.tensor({width}, dtype());
    const Tensor bias = arguments_.tensor({width}, dtype());
    const Tensor rms = ops::rms_norm(ctx_, x, weight, 1e-5f);
    const Tensor layer = ops::layer_norm(ctx_, x, weight, bias, 1e-5f);
    const Tensor product = ops::silu_mul(ctx_, x, y);
    const Tensor sum = ops::add_scaled(ctx_, x, y, 0.7f);
    const Tensor gelu = ops::activation(ctx_, x, Activation::kGelu);
    for (int64_t r = 0; r < 40; r += 13) {
      const Tensor a = alone(x, r, r + 1);
      const Tensor b = alone(y, r, r + 1);
      EXPECT_TRUE(same_bits(ops::rms_norm(ctx_, a, weight, 1e-5f), alone(rms, r, r + 1)));
      EXPECT_TRUE(same_bits(ops::layer_norm(ctx_, a, weight, bias, 1e-5f), alone(layer, r, r + 1)));
      EXPECT_TRUE(same_bits(ops::silu_mul(ctx_, a, b), alone(product, r, r + 1)));
      EXPECT_TRUE(same_bits(ops::add_scaled(ctx_, a, b, 0.7f), alone(sum, r, r + 1)));
      EXPECT_TRUE(same_bits(ops::activation(ctx_, a, Activation::kGelu), alone(gelu, r, r + 1)));
    }
  }
}

TEST_P(NativeBackendTest, ThreadCountDoesNotChangeABit) {
  const Tensor x = arguments_.tensor({37, 512}, dtype());
  const Tensor weight = arguments_.tensor({200, 512}, dtype());
  const Tensor scale = arguments_.tensor({512}, dtype());
  const Tensor cos = arguments_.tensor({37, 64}, dtype());
  const Tensor sin = arguments_.tensor({37, 64}, dtype());
  const std::array<SequenceSlice, 2> slices{
      SequenceSlice{.first_token = 0, .num_tokens = 30, .num_past = 0, .pages = {}},
      SequenceSlice{.first_token = 30, .num_tokens = 7, .num_past = 0, .pages = {}}};
  const AttentionSpec spec{.scale = 0.1f, .is_causal = true, .window = 0};
  std::vector<std::vector<Tensor>> results;
  for (const int num_threads : {1, 2, 3}) {
    ThreadPool pool(num_threads);
    native::NativeBackend backend(pool);
    Context ctx{backend};
    const Tensor heads = x.reshape({37, 8, 64});
    results.push_back({ops::linear(ctx, x, weight, {}), ops::rms_norm(ctx, x, scale, 1e-6f),
                       ops::layer_norm(ctx, x, scale, scale, 1e-6f), ops::silu_mul(ctx, x, x),
                       ops::activation(ctx, x, Activation::kQuickGelu),
                       ops::rope(ctx, heads, cos, sin), ops::cast(ctx, x, DType::kFloat32),
                       ops::attention(ctx, heads, heads, heads, slices, spec)});
  }
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_TRUE(same_bits(results[0][i], results[1][i])) << "operation " << i << ", 2 threads";
    EXPECT_TRUE(same_bits(results[0][i], results[2][i])) << "operation " << i << ", 3 threads";
  }
}

// A sequence's tokens in chunks against pages, compared with all of it at once.
class NativeCacheTest : public NativeBackendTest {
 protected:
  // Pages of what must not be read before it is written, whatever it is.
  static KvLayer empty_layer(int64_t num_pages, int64_t page_size, int64_t num_key_heads,
                             int64_t width, DType stored) {
    const Shape shape{num_pages, page_size, num_key_heads, width};
    KvLayer layer{.key_pages = Tensor::empty(shape, stored),
                  .value_pages = Tensor::empty(shape, stored)};
    if (stored == DType::kInt8) {
      const Shape scales{num_pages, page_size, num_key_heads};
      layer.key_scales = Tensor::empty(scales, DType::kFloat32);
      layer.value_scales = Tensor::empty(scales, DType::kFloat32);
    }
    for (Tensor* part :
         {&layer.key_pages, &layer.value_pages, &layer.key_scales, &layer.value_scales}) {
      if (!part->is_defined()) continue;
      std::memset(part->mutable_bytes().data(), 0xFF, part->bytes().size());
    }
    return layer;
  }

  void check(int32_t num_tokens, int64_t num_heads, int64_t num_key_heads, int64_t width,
             const AttentionSpec& spec, const std::vector<int32_t>& chunks, int32_t page_size) {
    const Tensor q = arguments_.tensor({num_tokens, num_heads, width}, dtype(), 2.0);
    const Tensor k = arguments_.tensor({num_tokens, num_key_heads, width}, dtype(), 2.0);
    const Tensor v = arguments_.tensor({num_tokens, num_key_heads, width}, dtype(), 2.0);
    const std::array<SequenceSlice, 1> whole{
        SequenceSlice{.first_token = 0, .num_tokens = num_tokens, .num_past = 0, .pages = {}}};
    const Tensor expected = ops::attention(ctx_, q, k, v, whole, spec);

    const int32_t num_pages = num_tokens / page_size + 1;
    KvLayer layer = empty_layer(num_pages, page_size, num_key_heads, width, dtype());
    SequenceSlice slice;
    for (int32_t page = num_pages; page > 0; --page) slice.pages.push_back(page - 1);
    std::size_t chunk = 0;
    while (slice.num_past < num_tokens) {
      slice.num_tokens = std::min(chunks[chunk++ % chunks.size()], num_tokens - slice.num_past);
      const int64_t begin = slice.num_past;
      const int64_t end = begin + slice.num_tokens;
      const std::span<const SequenceSlice> slices(&slice, 1);
      ops::kv_write(ctx_, layer, alone(k, begin, end), alone(v, begin, end), slices);
      const Tensor part = ops::attention_cached(ctx_, alone(q, begin, end), layer, slices, spec);
      ASSERT_TRUE(same_bits(part, alone(expected, begin, end)))
          << "tokens " << begin << " to " << end << ", pages of " << page_size;
      slice.num_past += slice.num_tokens;
    }
  }
};

TEST_P(NativeCacheTest, CachedEqualsRecomputed) {
  for (const int32_t page_size : {1, 5, 16, 64, 200}) {
    const AttentionSpec spec{.scale = 0.2f, .is_causal = true, .window = 0};
    check(150, 2, 2, 32, spec, {1}, page_size);
    check(150, 4, 2, 24, spec, {7, 1, 64, 20}, page_size);
    check(140, 6, 1, 128, spec, {65, 1}, page_size);
  }
}

TEST_P(NativeCacheTest, CachedEqualsRecomputedInAWindow) {
  for (const int32_t window : {1, 3, 63, 64, 65, 100}) {
    const AttentionSpec spec{.scale = 0.2f, .is_causal = true, .window = window};
    check(140, 4, 2, 16, spec, {1, 30, 6}, 16);
  }
}

TEST_P(NativeCacheTest, CachedEqualsRecomputedInRandomChunks) {
  const uint64_t seed = 20240604;
  Generator shapes(seed);
  const auto draw = [&](uint64_t bound) { return static_cast<int32_t>(1 + shapes.below(bound)); };
  for (int i = 0; i < 12; ++i) {
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", case " << i);
    const AttentionSpec spec{
        .scale = 0.2f, .is_causal = true, .window = draw(2) == 1 ? draw(120) : 0};
    const int32_t num_key_heads = draw(3);
    const std::vector<int32_t> chunks{draw(3), draw(100), draw(10)};
    check(draw(220), num_key_heads * draw(4), num_key_heads, draw(70), spec, chunks, draw(90));
  }
}

// A prompt and its continuation in a cache of any dtype: whatever the chunks of the prompt, the
// page size and the threads, the same bits.
TEST_P(NativeCacheTest, ChunksPagesAndThreadsDoNotChangeABit) {
  constexpr int32_t kTokens = 330;
  const AttentionSpec spec{.scale = 0.2f, .is_causal = true, .window = 0};
  for (const DType stored : {DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kInt8}) {
    for (const auto& [heads, key_heads, width] : {std::array{3, 1, 64}, std::array{2, 2, 80}}) {
      const Tensor q = arguments_.tensor({kTokens, heads, width}, dtype(), 2.0);
      const Tensor k = arguments_.tensor({kTokens, key_heads, width}, dtype(), 2.0);
      const Tensor v = arguments_.tensor({kTokens, key_heads, width}, dtype(), 2.0);
      Tensor expected;
      const auto run = [&](int32_t chunk, int32_t page_size, int num_threads) {
        SCOPED_TRACE(testing::Message()
                     << dtype_name(stored) << ", chunks of " << chunk << ", pages of " << page_size
                     << ", " << num_threads << " threads");
        ThreadPool pool(num_threads);
        native::NativeBackend backend(pool);
        Context ctx{backend};
        const int32_t num_pages = kTokens / page_size + 1;
        KvLayer layer = empty_layer(num_pages, page_size, key_heads, width, stored);
        SequenceSlice slice;
        for (int32_t page = num_pages; page > 0; --page) slice.pages.push_back(page - 1);
        std::vector<Tensor> parts;
        while (slice.num_past < kTokens) {
          slice.num_tokens = std::min(chunk, kTokens - slice.num_past);
          const int64_t begin = slice.num_past;
          const int64_t end = begin + slice.num_tokens;
          const std::span<const SequenceSlice> slices(&slice, 1);
          ops::kv_write(ctx, layer, alone(k, begin, end), alone(v, begin, end), slices);
          parts.push_back(ops::attention_cached(ctx, alone(q, begin, end), layer, slices, spec));
          slice.num_past += slice.num_tokens;
        }
        const Tensor got = ops::concat_rows(ctx, parts);
        if (!expected.is_defined()) expected = got;
        EXPECT_TRUE(same_bits(got, expected));
      };
      run(kTokens, 16, 2);
      for (const int32_t chunk : {1, 7, 64}) run(chunk, 16, 2);
      for (const int32_t page_size : {1, 8, 64}) run(64, page_size, 1);
      run(7, 64, 3);
    }
  }
}

TEST_P(NativeCacheTest, LaterTokensDoNotReachEarlierOnes) {
  // A NaN in a key or value that a query cannot see must not change its result.
  const AttentionSpec spec{.scale = 0.2f, .is_causal = true, .window = 0};
  const std::array<SequenceSlice, 1> whole{
      SequenceSlice{.first_token = 0, .num_tokens = 100, .num_past = 0, .pages = {}}};
  const Tensor q = arguments_.tensor({100, 2, 32}, dtype());
  const Tensor k = arguments_.tensor({100, 2, 32}, dtype());
  const Tensor v = arguments_.tensor({100, 2, 32}, dtype());
  const Tensor clean = ops::attention(ctx_, q, k, v, whole, spec);
  const auto poisoned = [&](const Tensor& x, int64_t position) {
    Tensor floats = alone(host_to_float32(x), 0, 100);
    Tensor row = floats.rows(position, position + 1);
    for (float& value : row.mutable_data<float>()) value = std::numeric_limits<float>::quiet_NaN();
    return host_cast(floats, dtype());
  };
  for (const int64_t position : {70, 3}) {
    for (const auto& [keys, values] :
         {std::pair{poisoned(k, position), v}, std::pair{k, poisoned(v, position)}}) {
      const Tensor out = ops::attention(ctx_, q, keys, values, whole, spec);
      EXPECT_TRUE(same_bits(alone(out, 0, position), alone(clean, 0, position)));
      for (const double value : to_doubles(alone(out, position, 100))) {
        EXPECT_TRUE(std::isnan(value));
      }
    }
  }
}

std::string setting_name(const testing::TestParamInfo<Setting>& info) {
  return setting_text(info.param);
}

INSTANTIATE_TEST_SUITE_P(All, NativeBackendTest, testing::ValuesIn(settings()), setting_name);
INSTANTIATE_TEST_SUITE_P(All, NativeCacheTest, testing::ValuesIn(settings()), setting_name);

}  // namespace
}  // namespace llava
