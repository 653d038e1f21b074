// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/kv_cache.h"

#include <gtest/gtest.h>

#include "llava/backend/native/native_backend.h"
#include "llava/core/error.h"

namespace llava::engine {
namespace {

model::DecoderConfig small_decoder() {
  model::DecoderConfig config;
  config.num_hidden_layers = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 2;
  return config;
}

class KvCacheTest : public testing::Test {
 protected:
  // Writes `count` tokens whose keys are first, first + 1, ... and whose values are their
  // negatives.
  void append(KvCache& cache, KvSequence& sequence, int32_t count, float first) {
    Tensor keys = Tensor::empty({count, 1, 2}, DType::kFloat32);
    Tensor values = Tensor::empty({count, 1, 2}, DType::kFloat32);
    for (int32_t i = 0; i < 2 * count; ++i) {
      keys.mutable_data<float>()[static_cast<std::size_t>(i)] = first + static_cast<float>(i / 2);
      values.mutable_data<float>()[static_cast<std::size_t>(i)] =
          -first - static_cast<float>(i / 2);
    }
    const SequenceSlice slice = cache.extend(sequence, count, 0);
    for (KvLayer& layer : cache.view().layers) {
      ops::kv_write(ctx_, layer, keys, values, {&slice, 1});
    }
  }

  float key_at(KvCache& cache, const KvSequence& sequence, int32_t position) {
    const auto page = static_cast<std::size_t>(position / kKvPageSize);
    const Tensor& pages = cache.view().layers[1].key_pages;
    const int64_t row = int64_t{sequence.pages[page]} * kKvPageSize + position % kKvPageSize;
    return pages.data<float>()[static_cast<std::size_t>(row * 2)];
  }

  ThreadPool pool_{1};
  std::unique_ptr<Backend> backend_ = native::make_native_backend(pool_);
  Context ctx_{*backend_};
};

TEST_F(KvCacheTest, PagesFollowTheTokens) {
  EXPECT_EQ(KvCache::pages_for(0), 0);
  EXPECT_EQ(KvCache::pages_for(1), 1);
  EXPECT_EQ(KvCache::pages_for(kKvPageSize), 1);
  EXPECT_EQ(KvCache::pages_for(kKvPageSize + 1), 2);
  EXPECT_EQ(KvCache::bytes_per_token(small_decoder(), DType::kFloat16), 2 * 2 * 2 * 2);
}

TEST_F(KvCacheTest, AForkSharesFullPagesAndCopiesTheRest) {
  KvCache cache(ctx_, small_decoder(), DType::kFloat32, 8);
  KvSequence parent;
  append(cache, parent, kKvPageSize + 3, 100.0f);
  KvSequence child = cache.fork(ctx_, parent);
  ASSERT_EQ(child.pages.size(), 2u);
  EXPECT_EQ(child.pages[0], parent.pages[0]);
  EXPECT_NE(child.pages[1], parent.pages[1]);
  append(cache, parent, 1, 1000.0f);
  append(cache, child, 1, 2000.0f);
  EXPECT_EQ(key_at(cache, child, 0), 100.0f);
  EXPECT_EQ(key_at(cache, child, kKvPageSize + 2), 100.0f + kKvPageSize + 2);
  EXPECT_EQ(key_at(cache, parent, kKvPageSize + 3), 1000.0f);
  EXPECT_EQ(key_at(cache, child, kKvPageSize + 3), 2000.0f);
}

TEST_F(KvCacheTest, ReleasedPagesAreUsedAgain) {
  KvCache cache(ctx_, small_decoder(), DType::kFloat32, 2);
  for (int round = 0; round < 5; ++round) {
    KvSequence sequence;
    append(cache, sequence, 2 * kKvPageSize, 0.0f);
    KvSequence other;
    EXPECT_THROW(append(cache, other, 1, 0.0f), Error);
    cache.release(sequence);
    EXPECT_TRUE(sequence.pages.empty());
  }
}

}  // namespace
}  // namespace llava::engine
