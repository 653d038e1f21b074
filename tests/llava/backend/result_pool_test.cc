// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/native/result_pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "llava/core/error.h"

namespace llava::native {
namespace {

TEST(ResultPool, MemoryComesBackToTheSameSize) {
  ResultPool pool;
  std::optional<Tensor> first = pool.empty({4096, 64}, DType::kFloat32);
  const void* memory = first->bytes().data();
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 64, 0u);
  // A view keeps the memory in use.
  std::optional<Tensor> view = first->rows(3, 4);
  first.reset();
  EXPECT_EQ(pool.idle_bytes(), 0u);
  view.reset();
  EXPECT_EQ(pool.idle_bytes(), 1u << 20);
  // Another shape and dtype of nearly the size takes it.
  const Tensor again = pool.empty({500000}, DType::kFloat16);
  EXPECT_EQ(again.bytes().data(), memory);
  EXPECT_EQ(pool.idle_bytes(), 0u);
}

TEST(ResultPool, SmallResultsAreNotKept) {
  ResultPool pool;
  { const Tensor x = pool.empty({1000}, DType::kFloat32); }
  EXPECT_EQ(pool.idle_bytes(), 0u);
}

TEST(ResultPool, WhatIsNotNeededForLongIsFreed) {
  ResultPool pool;
  { const Tensor x = pool.empty({int64_t{4} << 20}, DType::kUInt8); }
  EXPECT_EQ(pool.idle_bytes(), 4u << 20);
  for (uint64_t i = 0; i < 2 * ResultPool::kMaxIdleTakes; ++i) {
    const Tensor y = pool.empty({int64_t{1} << 20}, DType::kUInt8);
  }
  EXPECT_EQ(pool.idle_bytes(), 1u << 20);
  // Results that the pool does not keep count too.
  for (uint64_t i = 0; i < 2 * ResultPool::kMaxIdleTakes; ++i) {
    const Tensor z = pool.empty({64}, DType::kUInt8);
  }
  EXPECT_EQ(pool.idle_bytes(), 0u);
}

TEST(ResultPool, WhatLiesIdleIsBounded) {
  ResultPool pool;
  constexpr int64_t kHalf = static_cast<int64_t>(ResultPool::kMaxIdleBytes / 2);
  {
    const Tensor a = pool.empty({kHalf}, DType::kUInt8);
    const Tensor b = pool.empty({kHalf - 64}, DType::kUInt8);
  }
  EXPECT_LE(pool.idle_bytes(), ResultPool::kMaxIdleBytes);
  EXPECT_GT(pool.idle_bytes(), 0u);
  { const Tensor c = pool.empty({3 * kHalf}, DType::kUInt8); }
  EXPECT_EQ(pool.idle_bytes(), 0u);
}

TEST(ResultPool, TensorsMayOutliveIt) {
  auto pool = std::make_unique<ResultPool>();
  Tensor x = pool->empty({64}, DType::kFloat32);
  pool.reset();
  x.mutable_data<float>()[63] = 1.0f;
  EXPECT_EQ(x.data<float>()[63], 1.0f);
}

TEST(ResultPool, TooMuchIsAnError) {
  ResultPool pool;
  try {
    pool.empty({int64_t{1} << 60}, DType::kUInt8);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
  }
  EXPECT_EQ(pool.empty({0}, DType::kFloat32).numel(), 0);
}

}  // namespace
}  // namespace llava::native
