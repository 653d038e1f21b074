// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/kv_pages.h"

#include <gtest/gtest.h>

#include <cstring>

#include "llava/backend/native/native_backend.h"

namespace llava::engine {
namespace {

model::DecoderConfig small_decoder() {
  model::DecoderConfig config;
  config.num_hidden_layers = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 2;
  return config;
}

TEST(KvPages, CountsKeysValuesAndScales) {
  EXPECT_EQ(KvPages::bytes_per_token(small_decoder(), DType::kFloat16), 2 * 2 * 2 * 2);
  EXPECT_EQ(KvPages::bytes_per_token(small_decoder(), DType::kInt8), 2 * 2 * (2 + 4));
}

// The copied positions have the same bits, whatever the type; the others are untouched.
TEST(KvPages, CopiesTheFirstPositionsOfAPage) {
  ThreadPool pool(1);
  const auto backend = native::make_native_backend(pool);
  Context ctx{*backend};
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kInt8}) {
    constexpr int32_t kPageSize = 8;
    KvPages pages(ctx, small_decoder(), dtype, 3, kPageSize);
    for (KvLayer& layer : pages.view().layers) {
      for (Tensor* tensor :
           {&layer.key_pages, &layer.value_pages, &layer.key_scales, &layer.value_scales}) {
        if (!tensor->is_defined()) continue;
        unsigned char value = 0;
        for (std::byte& byte : tensor->mutable_bytes()) byte = std::byte{value++};
      }
    }
    pages.copy(ctx, 0, 2, 5);
    for (const KvLayer& layer : pages.view().layers) {
      for (const Tensor* tensor :
           {&layer.key_pages, &layer.value_pages, &layer.key_scales, &layer.value_scales}) {
        if (!tensor->is_defined()) continue;
        const auto page_bytes = static_cast<std::size_t>(tensor->num_bytes() / 3);
        const std::size_t copied = page_bytes / kPageSize * 5;
        const std::byte* bytes = tensor->bytes().data();
        EXPECT_EQ(std::memcmp(bytes + 2 * page_bytes, bytes, copied), 0);
        for (std::size_t i = copied; i < page_bytes; ++i) {
          ASSERT_EQ(bytes[2 * page_bytes + i],
                    std::byte{static_cast<unsigned char>(2 * page_bytes + i)});
        }
      }
    }
  }
}

// Whole pages as bytes and back, to other places.
TEST(KvPages, GivesPagesAwayAndTakesThemBack) {
  ThreadPool pool(1);
  const auto backend = native::make_native_backend(pool);
  Context ctx{*backend};
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kInt8}) {
    constexpr int32_t kPageSize = 8;
    KvPages pages(ctx, small_decoder(), dtype, 6, kPageSize);
    EXPECT_EQ(pages.page_bytes(), kPageSize * KvPages::bytes_per_token(small_decoder(), dtype));
    const auto content = [&](std::vector<int32_t> numbers) {
      std::vector<std::byte> bytes(static_cast<std::size_t>(pages.page_bytes()) * numbers.size());
      pages.read(ctx, numbers, bytes);
      return bytes;
    };
    std::vector<std::byte> bytes(static_cast<std::size_t>(pages.page_bytes()) * 3);
    unsigned char value = 0;
    for (std::byte& byte : bytes) byte = std::byte{value += 7};
    pages.write(ctx, std::vector<int32_t>{4, 1, 2}, bytes);
    EXPECT_EQ(content({4, 1, 2}), bytes);
    EXPECT_TRUE(content({}).empty());
    pages.write(ctx, std::vector<int32_t>{3, 0, 5}, content({4, 1, 2}));
    EXPECT_EQ(content({3, 0, 5}), bytes);
    EXPECT_EQ(content({4, 1, 2}), bytes);
    EXPECT_NE(content({4, 2, 1}), bytes);
  }
}

}  // namespace
}  // namespace llava::engine
