// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/gguf_repack.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "llava/core/float_formats.h"
#include "llava/core/random.h"
#include "llava/tensor/packed.h"

namespace llava::checkpoint {
namespace {

// Where a block's float16 numbers are; every other byte may be anything.
struct BlockType {
  GgufType type;
  std::vector<std::size_t> halves;
  bool is_exact;
};

const std::vector<BlockType>& block_types() {
  static const std::vector<BlockType> types = {
      {GgufType::kQ4_0, {0}, true},     {GgufType::kQ4_1, {0, 2}, true},
      {GgufType::kQ5_0, {0}, true},     {GgufType::kQ5_1, {0, 2}, true},
      {GgufType::kQ8_0, {0}, true},     {GgufType::kQ4_K, {0, 2}, false},
      {GgufType::kQ5_K, {0, 2}, false}, {GgufType::kQ6_K, {208}, false}};
  return types;
}

std::vector<std::byte> random_blocks(Generator& generator, const BlockType& type, int64_t count) {
  const auto size =
      static_cast<std::size_t>(find_gguf_type(static_cast<uint32_t>(type.type))->block_bytes);
  std::vector<std::byte> bytes(size * static_cast<std::size_t>(count));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(generator.below(256));
  for (std::size_t begin = 0; begin < bytes.size(); begin += size) {
    for (const std::size_t offset : type.halves) {
      const uint16_t half = f16_from_float(static_cast<float>(generator.uniform() * 2 - 1));
      std::memcpy(bytes.data() + begin + offset, &half, sizeof(half));
    }
  }
  return bytes;
}

// Half a unit of float16 at `value`.
double half_unit(double value) { return std::ldexp(1.0, std::max(std::ilogb(value), -14) - 11); }

// What rounding a group's scale and minimum to float16 may change in one weight.
double allowed(const Tensor& packed, int64_t output, int64_t input) {
  const PackedLayout layout(packed.dtype(), packed.shape());
  const PackedGroup group = layout.read(packed.bytes().data(), output, input / kPackedGroup);
  const auto at = static_cast<std::size_t>(input % kPackedGroup);
  const double scale = float_from_f16(group.scales[at / 16]);
  const double code = std::abs(group.codes[at] - zero_code(packed.dtype()));
  double bound = scale == 0 ? code * std::ldexp(1.0, -25) : code * half_unit(scale);
  double magnitude = code * std::fabs(scale);
  if (has_minimum(packed.dtype())) {
    const double minimum = float_from_f16(group.minimum);
    bound += minimum == 0 ? std::ldexp(1.0, -25) : half_unit(minimum);
    magnitude += std::fabs(minimum);
  }
  return bound + magnitude * 0x1p-22;  // and the float32 roundings on both sides
}

TEST(GgufRepack, WeightsAreThoseOfTheBlocks) {
  Generator generator(3);
  ThreadPool pool(2);
  for (const BlockType& type : block_types()) {
    const GgufTypeInfo& info = *find_gguf_type(static_cast<uint32_t>(type.type));
    for (const int64_t outputs : {1, 16, 37}) {
      SCOPED_TRACE(testing::Message() << info.name << " " << outputs);
      const int64_t inputs = 3 * info.block_elements;
      const auto blocks = random_blocks(generator, type, outputs * 3);
      std::vector<float> expected(static_cast<std::size_t>(outputs * inputs));
      dequantize_gguf(type.type, blocks, expected);
      const Tensor packed = repack_gguf(pool, type.type, blocks, {outputs, inputs});
      ASSERT_EQ(packed.dtype(), repacked_form(type.type));
      const Tensor floats = dequantize(packed);
      for (int64_t o = 0; o < outputs; ++o) {
        for (int64_t i = 0; i < inputs; ++i) {
          const auto at = static_cast<std::size_t>(o * inputs + i);
          if (type.is_exact) {
            ASSERT_EQ(floats.data<float>()[at], expected[at]) << o << ", " << i;
          } else {
            ASSERT_NEAR(floats.data<float>()[at], expected[at], allowed(packed, o, i))
                << o << ", " << i;
          }
        }
      }
    }
  }
}

TEST(GgufRepack, TakesRowsInTheOrderAsked) {
  Generator generator(5);
  ThreadPool one(1), three(3);
  for (const BlockType& type : block_types()) {
    const int64_t inputs = find_gguf_type(static_cast<uint32_t>(type.type))->block_elements;
    const auto blocks = random_blocks(generator, type, 50);
    std::vector<int64_t> reversed(50);
    std::iota(reversed.rbegin(), reversed.rend(), 0);
    const Tensor forward = dequantize(repack_gguf(one, type.type, blocks, {50, inputs}));
    const Tensor backward =
        dequantize(repack_gguf(three, type.type, blocks, {50, inputs}, reversed));
    for (int64_t row = 0; row < 50; ++row) {
      const Tensor a = forward.rows(row, row + 1);
      const Tensor b = backward.rows(49 - row, 50 - row);
      EXPECT_TRUE(std::ranges::equal(a.data<float>(), b.data<float>()));
    }
  }
}

TEST(GgufRepack, PlainTypesHaveNoForm) {
  for (const GgufType type : {GgufType::kF32, GgufType::kF16, GgufType::kBF16, GgufType::kI8}) {
    EXPECT_EQ(repacked_form(type), std::nullopt);
  }
}

}  // namespace
}  // namespace llava::checkpoint
