// SPDX-License-Identifier: Apache-2.0
//
// The matrix product beside its scalar twin.
#include <array>
#include <cmath>
#include <limits>
#include <memory>

#include "llava/kernels/kernel_case.h"

namespace llava::kernels {
namespace {

class LinearKernelTest : public KernelCase {
 protected:
  struct Aligned {
    alignas(64) std::array<std::byte, kLinearScratchBytes> bytes;
  };

  void check(int64_t rows, int64_t inputs, int64_t outputs, bool has_bias, int64_t misalignment) {
    SCOPED_TRACE(testing::Message() << rows << " rows, " << inputs << " inputs, " << outputs
                                    << " outputs, misaligned by " << misalignment);
    const Array x = random_array(rows * inputs, 1.0f, misalignment);
    const Array weight = random_array(outputs * inputs, 1.0f, misalignment + 1);
    const Array bias = random_array(outputs, 1.0f, misalignment);
    Array got(format(), rows * outputs, misalignment);
    Array expected(format(), rows * outputs);
    LinearArgs args{.x = x.data(),
                    .x_stride = inputs,
                    .num_rows = rows,
                    .weight = weight.data(),
                    .num_inputs = inputs,
                    .bias = has_bias ? bias.data() : nullptr,
                    .output_begin = 0,
                    .output_end = outputs,
                    .out = got.data(),
                    .out_stride = outputs,
                    .scratch = scratch_->bytes.data()};
    table().linear[format()](args);
    args.out = expected.data();
    scalar().linear[format()](args);
    const std::vector<float> a = x.values();
    const std::vector<float> b = weight.values();
    std::vector<double> bounds;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t o = 0; o < outputs; ++o) {
        double magnitude = has_bias ? 1.0 : 0.0;
        for (int64_t i = 0; i < inputs; ++i) {
          magnitude += std::fabs(double{a[static_cast<std::size_t>(r * inputs + i)]} *
                                 double{b[static_cast<std::size_t>(o * inputs + i)]});
        }
        // Each of the two sums is off by at most one rounding of the magnitude per term.
        bounds.push_back(2 * static_cast<double>(inputs + 2) * kFloatRoundoff * magnitude);
      }
    }
    expect_near(got, expected, bounds, format());
  }

  std::unique_ptr<Aligned> scratch_ = std::make_unique<Aligned>();
};

TEST_P(LinearKernelTest, EveryInputLength) {
  for (int64_t inputs = 1; inputs <= 140; ++inputs) {
    for (const int64_t rows : {1, 3, 7}) check(rows, inputs, 5, inputs % 2 == 0, inputs % 4);
  }
}

TEST_P(LinearKernelTest, EveryTileEdge) {
  for (int64_t rows = 1; rows <= 20; ++rows) {
    for (const int64_t outputs : {1, 2, 3, 4, 7, 63, 64, 65, 131}) {
      check(rows, 37, outputs, true, rows % 3);
    }
  }
}

TEST_P(LinearKernelTest, BlocksOfInputs) {
  for (const int64_t inputs : {1023, 1024, 1025, 2047, 2048, 2049, 2081, 4096, 4103}) {
    for (const int64_t rows : {1, 8}) check(rows, inputs, 6, false, 1);
  }
}

TEST_P(LinearKernelTest, RandomShapes) {
  const uint64_t seed = 20240602;
  RecordProperty("seed", std::to_string(seed));
  Generator shapes(seed);
  for (int i = 0; i < 60; ++i) {
    const auto draw = [&](uint64_t bound) { return static_cast<int64_t>(1 + shapes.below(bound)); };
    check(draw(40), draw(600), draw(140), draw(2) == 1, draw(8));
  }
}

TEST_P(LinearKernelTest, NanAndInfinityReachTheirOutputsOnly) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const int64_t rows : {2, 9}) {
    std::vector<float> x(static_cast<std::size_t>(rows * 40), 1.0f);
    x[7] = std::numeric_limits<float>::quiet_NaN();
    x[43] = infinity;
    const Array in(format(), x);
    const Array weight(format(), std::vector<float>(40 * 5, 0.5f));
    Array out(format(), rows * 5);
    table().linear[format()]({.x = in.data(),
                              .x_stride = 40,
                              .num_rows = rows,
                              .weight = weight.data(),
                              .num_inputs = 40,
                              .bias = nullptr,
                              .output_begin = 0,
                              .output_end = 5,
                              .out = out.data(),
                              .out_stride = 5,
                              .scratch = scratch_->bytes.data()});
    const std::vector<float> y = out.values();
    for (std::size_t o = 0; o < 5; ++o) {
      EXPECT_TRUE(std::isnan(y[o]));
      EXPECT_EQ(y[5 + o], infinity);
      if (rows > 2) {
        EXPECT_EQ(y[10 + o], 20.0f);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, LinearKernelTest, testing::ValuesIn(vector_settings()), setting_name);

}  // namespace
}  // namespace llava::kernels
