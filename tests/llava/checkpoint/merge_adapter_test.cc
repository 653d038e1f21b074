// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/merge_adapter.h"

#include <gtest/gtest.h>

#include <cmath>

namespace llava::checkpoint {
namespace {

Tensor random_floats(Shape shape, uint64_t seed, float scale) {
  Tensor tensor = Tensor::empty(std::move(shape), DType::kFloat32);
  uint64_t state = seed;
  for (float& value : tensor.mutable_data<float>()) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = scale * (static_cast<float>(state >> 40) / 8388608.0f - 1.0f);
  }
  return tensor;
}

// More columns than one piece, and a rank that is no multiple of four.
constexpr std::size_t kOut = 9, kIn = 1100, kRank = 6;

struct Case {
  Tensor weight = random_floats({kOut, kIn}, 1, 0.5f);
  model::LoraAdapter adapter{random_floats({kRank, kIn}, 2, 0.1f),
                             random_floats({kOut, kRank}, 3, 0.1f), 0.25f};
};

double exact(const Case& c, const std::vector<float>& weight, std::size_t o, std::size_t i) {
  const auto a = c.adapter.a_RI.data<float>();
  const auto b = c.adapter.b_OR.data<float>();
  double sum = 0;
  for (std::size_t r = 0; r < kRank; ++r) sum += double{b[o * kRank + r]} * double{a[r * kIn + i]};
  return double{weight[o * kIn + i]} + double{c.adapter.scale} * sum;
}

TEST(MergeAdapter, ExactlyIsTheRoundedSum) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    Case c;
    c.weight = host_cast(c.weight, dtype);
    const Tensor old_values = host_to_float32(c.weight);
    const std::vector<float> weight(old_values.data<float>().begin(),
                                    old_values.data<float>().end());
    const Tensor merged = merge_adapter_exactly(c.weight, c.adapter, dtype);
    EXPECT_EQ(merged.dtype(), dtype);
    const Tensor values = host_to_float32(merged);
    // Half a step of the type, and the error of a float32 sum of six.
    const double epsilon = dtype == DType::kFloat32    ? 0x1p-24
                           : dtype == DType::kBFloat16 ? 0x1p-8
                                                       : 0x1p-11;
    for (std::size_t o = 0; o < kOut; ++o) {
      for (std::size_t i = 0; i < kIn; ++i) {
        const double expected = exact(c, weight, o, i);
        EXPECT_NEAR(double{values.data<float>()[o * kIn + i]}, expected,
                    1.01 * epsilon * std::abs(expected) + 1e-7);
      }
    }
  }
}

TEST(MergeAdapter, ThreadsDoNotMatter) {
  const Case c;
  ThreadPool pool(3);
  for (const auto& [one, many] :
       {std::pair(merge_adapter(c.weight, c.adapter), merge_adapter(c.weight, c.adapter, &pool)),
        std::pair(merge_adapter_exactly(c.weight, c.adapter, DType::kBFloat16),
                  merge_adapter_exactly(c.weight, c.adapter, DType::kBFloat16, &pool))}) {
    EXPECT_TRUE(std::ranges::equal(one.bytes(), many.bytes()));
  }
}

// Updates too small for float16 on their own: each rule does what it says with them.
TEST(MergeAdapter, TheReferenceRoundsTheUpdateFirst) {
  const float tiny = 0x1p-26f;  // half of the smallest float16
  Case c{Tensor::from_floats({1, 1}, std::vector<float>{0.0f}),
         {Tensor::from_floats({1, 1}, std::vector<float>{1.0f}),
          Tensor::from_floats({1, 1}, std::vector<float>{1.0f}), tiny}};
  EXPECT_EQ(host_to_float32(merge_adapter(c.weight, c.adapter)).data<float>()[0], 0.0f);
  EXPECT_EQ(merge_adapter_exactly(c.weight, c.adapter, DType::kFloat32).data<float>()[0], tiny);
}

}  // namespace
}  // namespace llava::checkpoint
