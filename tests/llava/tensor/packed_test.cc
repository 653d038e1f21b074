// SPDX-License-Identifier: Apache-2.0
#include "llava/tensor/packed.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/float_formats.h"
#include "llava/core/random.h"

namespace llava {
namespace {

constexpr std::array kForms = {DType::kPackedQ4, DType::kPackedQ4Min, DType::kPackedQ8,
                               DType::kPackedQ8Min, DType::kPackedQ8Half};

PackedGroup random_group(Generator& generator, DType dtype) {
  PackedGroup group{};
  for (uint8_t& code : group.codes) {
    code = static_cast<uint8_t>(generator.below(packed_code_bits(dtype) == 4 ? 16 : 256));
  }
  for (uint16_t& scale : group.scales) {
    scale = f16_from_float(static_cast<float>(generator.uniform()));
  }
  if (dtype != DType::kPackedQ8Half) group.scales[1] = group.scales[0];
  if (has_minimum(dtype)) group.minimum = f16_from_float(static_cast<float>(generator.uniform()));
  return group;
}

TEST(Packed, FormsHaveTheBitsTheyAreNamedFor) {
  // 4096 inputs fill 64-byte panels without padding.
  const std::array<double, 5> bits = {4.5, 5.0, 8.5, 9.0, 9.0};
  for (std::size_t i = 0; i < kForms.size(); ++i) {
    const Shape shape{1024, 4096};
    EXPECT_EQ(packed_bytes(kForms[i], shape), static_cast<int64_t>(bits[i] / 8 * 1024 * 4096));
    EXPECT_EQ(Tensor::empty(shape, kForms[i]).num_bytes(), packed_bytes(kForms[i], shape));
  }
}

TEST(Packed, BytesLieWhereTheLayoutSays) {
  // Two panels of two groups. Bytes are those of docs/kernels.md, worked out by hand.
  const Shape shape{17, 40};
  PackedGroup group{};
  for (std::size_t i = 0; i < group.codes.size(); ++i) group.codes[i] = static_cast<uint8_t>(i / 2);
  group.scales = {0x3C00, 0x4000};
  group.minimum = 0x4200;

  Tensor q4 = Tensor::zeros(shape, DType::kPackedQ4Min);
  ASSERT_EQ(q4.num_bytes(), 2 * (2 * (256 + 32 + 32)));
  PackedLayout(q4.dtype(), shape).write(q4.mutable_bytes().data(), 16, 1, group);
  const auto byte_of = [](const Tensor& x, std::size_t at) {
    return static_cast<int>(x.bytes()[at]);
  };
  // Panel 1, group 1, pair 2, row 0, byte 3: inputs 8 * 2 + 3 = 19 and 23, codes 9 and 11.
  EXPECT_EQ(byte_of(q4, 640 + 256 + 2 * 64 + 3), 9 | 11 << 4);
  EXPECT_EQ(byte_of(q4, 640 + 512 + 32 + 1), 0x3C);       // scale of group 1, row 0
  EXPECT_EQ(byte_of(q4, 640 + 512 + 64 + 32 + 1), 0x42);  // its minimum

  Tensor half = Tensor::zeros(shape, DType::kPackedQ8Half);
  ASSERT_EQ(half.num_bytes(), 2 * (2 * (512 + 64)));
  PackedLayout(half.dtype(), shape).write(half.mutable_bytes().data(), 5, 1, group);
  // Panel 0, group 1, step 7, row 5, byte 2: input 30, code 15.
  EXPECT_EQ(byte_of(half, 512 + 7 * 64 + 5 * 4 + 2), 15);
  EXPECT_EQ(byte_of(half, 1024 + 64 + 5 * 2 + 1), 0x3C);       // scale of inputs 0..15
  EXPECT_EQ(byte_of(half, 1024 + 64 + 32 + 5 * 2 + 1), 0x40);  // of inputs 16..31
}

TEST(Packed, PanelsStartAtMultiplesOf64Bytes) {
  for (const DType dtype : kForms) {
    for (const int64_t inputs : {1, 32, 33, 96, 160}) {
      EXPECT_EQ(PackedLayout(dtype, Shape{16, inputs}).panel_bytes() % 64, 0);
    }
  }
}

TEST(Packed, EveryGroupReadsBackAndTouchesNothingElse) {
  Generator generator(7);
  for (const DType dtype : kForms) {
    for (const int64_t outputs : {1, 15, 16, 33}) {
      for (const int64_t inputs : {1, 31, 32, 97}) {
        SCOPED_TRACE(testing::Message() << dtype_name(dtype) << " " << outputs << "x" << inputs);
        const PackedLayout layout(dtype, Shape{outputs, inputs});
        Tensor matrix = Tensor::zeros({outputs, inputs}, dtype);
        std::vector<PackedGroup> written;
        for (int64_t output = 0; output < outputs; ++output) {
          for (int64_t group = 0; group < layout.num_groups(); ++group) {
            written.push_back(random_group(generator, dtype));
            layout.write(matrix.mutable_bytes().data(), output, group, written.back());
          }
        }
        std::size_t next = 0;
        for (int64_t output = 0; output < outputs; ++output) {
          for (int64_t group = 0; group < layout.num_groups(); ++group) {
            const PackedGroup read = layout.read(matrix.bytes().data(), output, group);
            EXPECT_EQ(read.codes, written[next].codes);
            EXPECT_EQ(read.scales, written[next].scales);
            EXPECT_EQ(read.minimum, written[next].minimum);
            ++next;
          }
        }
      }
    }
  }
}

TEST(Packed, WeightsAreScaleTimesCode) {
  Generator generator(11);
  for (const DType dtype : kForms) {
    Tensor matrix = Tensor::zeros({3, 45}, dtype);
    const PackedLayout layout(dtype, matrix.shape());
    std::vector<PackedGroup> written;
    for (int64_t output = 0; output < 3; ++output) {
      for (int64_t group = 0; group < 2; ++group) {
        written.push_back(random_group(generator, dtype));
        layout.write(matrix.mutable_bytes().data(), output, group, written.back());
      }
    }
    const Tensor floats = dequantize(matrix);
    ASSERT_EQ(floats.shape(), matrix.shape());
    for (std::size_t output = 0; output < 3; ++output) {
      for (std::size_t input = 0; input < 45; ++input) {
        const PackedGroup& group = written[output * 2 + input / 32];
        const double scale =
            float_from_f16(group.scales[dtype == DType::kPackedQ8Half && input % 32 >= 16 ? 1 : 0]);
        const double code = group.codes[input % 32];
        double weight = 0;
        if (dtype == DType::kPackedQ4) weight = scale * (code - 8);
        if (dtype == DType::kPackedQ8 || dtype == DType::kPackedQ8Half)
          weight = scale * (code - 128);
        if (has_minimum(dtype)) weight = scale * code + double{float_from_f16(group.minimum)};
        EXPECT_EQ(floats.data<float>()[output * 45 + input], static_cast<float>(weight))
            << dtype_name(dtype) << " " << output << ", " << input;
      }
    }
  }
}

TEST(Packed, BytesOfZeroAreWeightsOfZero) {
  for (const DType dtype : kForms) {
    const Tensor zeros = dequantize(Tensor::zeros({2, 40}, dtype));
    for (const float weight : zeros.data<float>()) EXPECT_EQ(weight, 0.0f);
    PackedGroup group{};
    group.scales = {0x3C00, 0x3C00};
    group.codes.fill(zero_code(dtype));
    std::array<float, kPackedGroup> weights;
    dequantize_group(dtype, group, weights);
    for (const float weight : weights) EXPECT_EQ(weight, 0.0f);
  }
}

TEST(Packed, SizesThatDoNotFitAreNone) {
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  for (const DType dtype : kForms) {
    EXPECT_FALSE(packed_bytes(dtype, Shape{1, kHuge}));
    EXPECT_FALSE(packed_bytes(dtype, Shape{kHuge, 32}));
    EXPECT_FALSE(packed_bytes(dtype, Shape{-1, 32}));
    EXPECT_FALSE(packed_bytes(dtype, Shape{32}));
    EXPECT_EQ(packed_bytes(dtype, Shape{0, 32}), 0);
  }
  EXPECT_FALSE(packed_bytes(DType::kFloat32, Shape{1, 1}));
}

TEST(Packed, TensorsAreTakenWhole) {
  const Tensor matrix = Tensor::zeros({32, 64}, DType::kPackedQ8);
  EXPECT_EQ(static_cast<int64_t>(matrix.bytes().size()), matrix.num_bytes());
  EXPECT_THROW(matrix.rows(0, 16), Error);
  EXPECT_THROW(matrix.reshape({64, 32}), Error);
  EXPECT_THROW(matrix.data<uint8_t>(), Error);
  EXPECT_THROW(Tensor::zeros({4, 4, 4}, DType::kPackedQ8), Error);
  // Storage of the logical number of bytes is too small for the padded matrix.
  const Tensor small = Tensor::zeros({17 * 45}, DType::kUInt8);
  EXPECT_THROW(Tensor(small.storage(), DType::kPackedQ8, {17, 45}), Error);
}

Tensor random_matrix(Generator& generator, DType dtype, const Shape& shape) {
  Tensor matrix = Tensor::zeros(shape, dtype);
  const PackedLayout layout(dtype, shape);
  for (int64_t output = 0; output < layout.num_outputs(); ++output) {
    for (int64_t group = 0; group < layout.num_groups(); ++group) {
      layout.write(matrix.mutable_bytes().data(), output, group, random_group(generator, dtype));
    }
  }
  return matrix;
}

TEST(Packed, CutsKeepWeights) {
  Generator generator(3);
  for (const DType dtype : kForms) {
    SCOPED_TRACE(dtype_name(dtype));
    const Tensor whole = random_matrix(generator, dtype, {73, 150});
    const Tensor weights = dequantize(whole);
    const auto expect_part = [&](const Tensor& part, int64_t first_row, int64_t first_column) {
      const Tensor found = dequantize(part);
      for (int64_t row = 0; row < found.dim(0); ++row) {
        for (int64_t column = 0; column < found.dim(1); ++column) {
          const auto at = static_cast<std::size_t>(row * found.dim(1) + column);
          const auto of_whole =
              static_cast<std::size_t>((first_row + row) * 150 + first_column + column);
          ASSERT_EQ(found.data<float>()[at], weights.data<float>()[of_whole]);
        }
      }
    };
    for (const auto& [begin, end] : {std::pair{0, 16}, {16, 64}, {64, 73}, {0, 73}}) {
      const Tensor part = packed_rows(whole, begin, end);
      EXPECT_EQ(part.shape(), (Shape{end - begin, 150}));
      expect_part(part, begin, 0);
    }
    for (const auto& [begin, end] : {std::pair{0, 32}, {32, 128}, {128, 150}, {0, 150}}) {
      const Tensor part = packed_columns(whole, begin, end);
      EXPECT_EQ(part.shape(), (Shape{73, end - begin}));
      expect_part(part, 0, begin);
    }
    EXPECT_THROW(packed_rows(whole, 8, 32), Error);
    EXPECT_THROW(packed_rows(whole, 0, 20), Error);
    EXPECT_THROW(packed_columns(whole, 16, 64), Error);
    EXPECT_THROW(packed_columns(whole, 32, 160), Error);
  }
}

}  // namespace
}  // namespace llava
