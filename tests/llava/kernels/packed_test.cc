// SPDX-License-Identifier: Apache-2.0
//
// Packed matrices: the scalar kernels beside plain arithmetic in double precision, and every vector
// kernel beside its scalar twin, bit for bit.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <ostream>

#include "llava/kernels/packed_case.h"

namespace llava::kernels {
namespace {

std::size_t index(int64_t i) { return static_cast<std::size_t>(i); }

class PackedFormTest : public testing::TestWithParam<Packed> {
 protected:
  const KernelTable& scalar() const { return *available().front(); }
  Generator generator_{17};
};

TEST_P(PackedFormTest, ActivationsAreRoundedToTheNearestCode) {
  const int64_t inputs = 300;
  const int64_t block = packed_activation_block(GetParam());
  const std::vector<float> x = random_activations(inputs, generator_);
  const AlignedBytes bytes = quantized(scalar(), GetParam(), x.data(), 1, inputs);
  for (int64_t i = 0; i < inputs; ++i) {
    const PackedActivations& record = as_activations(bytes)[i / kPackedSlab];
    const int64_t in_slab = i % kPackedSlab;
    float most = 0;
    for (int64_t k = i / block * block; k < std::min(i / block * block + block, inputs); ++k) {
      most = std::max(most, std::fabs(x[index(k)]));
    }
    EXPECT_EQ(record.scales[in_slab / block], most / 127.0f);
    EXPECT_NEAR(record.codes[in_slab], double{x[index(i)]} * 127 / double{most}, 0.5 + 1e-4);
  }
}

TEST_P(PackedFormTest, ProductIsThatOfTheNumbersMeant) {
  const Packed form = GetParam();
  for (const int64_t inputs : {1, 32, 100, 160, 600}) {
    SCOPED_TRACE(testing::Message() << inputs << " inputs");
    const int64_t slabs = (inputs + kPackedSlab - 1) / kPackedSlab;
    const PackedMatrix matrix(form, 19, inputs, generator_);
    const std::vector<float> x = random_activations(3 * inputs, generator_);
    const std::vector<float> bias = random_activations(19, generator_);
    const AlignedBytes bytes = quantized(scalar(), form, x.data(), 3, inputs);
    const std::vector<float> got =
        packed_product(scalar(), form, matrix, bytes, 3, bias.data(), 0, 19);
    for (int64_t r = 0; r < 3; ++r) {
      for (int64_t o = 0; o < 19; ++o) {
        double sum = double{bias[index(o)]};
        double magnitude = std::fabs(sum);
        for (int64_t i = 0; i < inputs; ++i) {
          const PackedActivations& record = as_activations(bytes)[r * slabs + i / kPackedSlab];
          const int64_t in_slab = i % kPackedSlab;
          const double code = record.codes[in_slab];
          const double scale = double{record.scales[in_slab / packed_activation_block(form)]};
          sum += code * scale * matrix.weight(o, i);
          // Code and minimum of a weight may be larger than the weight.
          magnitude += std::fabs(code * scale) * (std::fabs(matrix.weight(o, i)) + 0.01);
        }
        // A rounding per group and per block, each below the sum of magnitudes.
        const double roundings = 4.0 * static_cast<double>(inputs / 32 + 2);
        EXPECT_NEAR(got[index(r * 19 + o)], sum, roundings * 0x1.0p-24 * magnitude);
      }
    }
  }
}

TEST_P(PackedFormTest, DequantizedRowsAreTheWeights) {
  const PackedMatrix matrix(GetParam(), 35, 75, generator_);
  for (const KernelTable* table : available()) {
    std::vector<float> rows(20 * 80, 7.0f);
    table->packed[GetParam()].dequantize({.weight = matrix.data(),
                                          .num_inputs = 75,
                                          .row_begin = 13,
                                          .row_end = 33,
                                          .out = rows.data(),
                                          .out_stride = 80});
    for (int64_t r = 0; r < 20; ++r) {
      for (int64_t i = 0; i < 80; ++i) {
        const double expected = i < 75 ? matrix.weight(13 + r, i) : 7.0;
        EXPECT_EQ(rows[index(r * 80 + i)], static_cast<float>(expected));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PackedFormTest, testing::ValuesIn(kAllPacked),
                         [](const auto& setting) { return packed_name(setting.param); });

struct PackedSetting {
  const KernelTable* table;
  Packed form;
};
std::string setting_text(const PackedSetting& setting) {
  return std::string(setting.table->name) + "_" + packed_name(setting.form);
}
void PrintTo(const PackedSetting& setting, std::ostream* out) { *out << setting_text(setting); }

std::vector<PackedSetting> packed_settings() {
  std::vector<PackedSetting> settings;
  for (const KernelTable* table : available().subspan(1)) {
    for (const Packed form : kAllPacked) settings.push_back({table, form});
  }
  return settings;
}

class PackedKernelTest : public testing::TestWithParam<PackedSetting> {
 protected:
  const KernelTable& table() const { return *GetParam().table; }
  const KernelTable& scalar() const { return *available().front(); }
  Packed form() const { return GetParam().form; }

  void check(int64_t rows, int64_t inputs, int64_t outputs, bool has_bias) {
    SCOPED_TRACE(testing::Message()
                 << rows << " rows, " << inputs << " inputs, " << outputs << " outputs");
    const PackedMatrix matrix(form(), outputs, inputs, generator_);
    const std::vector<float> x = random_activations(rows * inputs, generator_);
    const std::vector<float> bias = random_activations(outputs, generator_);
    const AlignedBytes bytes = quantized(scalar(), form(), x.data(), rows, inputs);
    const float* bias_or_null = has_bias ? bias.data() : nullptr;
    EXPECT_EQ(
        bits_of(packed_product(table(), form(), matrix, bytes, rows, bias_or_null, 0, outputs)),
        bits_of(packed_product(scalar(), form(), matrix, bytes, rows, bias_or_null, 0, outputs)));
  }

  Generator generator_{23};
};

TEST_P(PackedKernelTest, QuantizedActivationsOfEveryLengthAndAddress) {
  for (int64_t inputs = 1; inputs <= 270; ++inputs) {
    SCOPED_TRACE(testing::Message() << inputs << " inputs");
    std::vector<float> x = random_activations(3 * inputs + 8, generator_);
    // Ties, zeros of both signs and blocks without anything else.
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (generator_.below(8) == 0) x[i] = static_cast<float>(generator_.below(5)) * 0.5f;
      if (generator_.below(16) == 0) x[i] = -0.0f;
      if (inputs % 7 == 0) x[i] = 0.0f;
      if (inputs % 11 == 0) x[i] *= 1e-37f;
    }
    const float* misaligned = x.data() + inputs % 8;
    const AlignedBytes got = quantized(table(), form(), misaligned, 3, inputs);
    const AlignedBytes expected = quantized(scalar(), form(), misaligned, 3, inputs);
    ASSERT_EQ(std::memcmp(got.data(), expected.data(), got.size()), 0);
  }
}

TEST_P(PackedKernelTest, EveryRowCount) {
  for (int64_t rows = 0; rows <= 33; ++rows) {
    for (const int64_t outputs : {7, 33, 80}) check(rows, 200, outputs, rows % 2 == 0);
  }
}

TEST_P(PackedKernelTest, EveryInputLength) {
  for (int64_t inputs = 1; inputs <= 300; inputs += inputs < 40 ? 1 : 13) {
    for (const int64_t rows : {1, 2, 5, 12}) check(rows, inputs, 35, inputs % 2 == 0);
  }
}

TEST_P(PackedKernelTest, EveryNumberOfOutputs) {
  for (int64_t outputs = 1; outputs <= 100; ++outputs) {
    for (const int64_t rows : {1, 3, 9}) check(rows, 160, outputs, outputs % 2 == 0);
  }
}

TEST_P(PackedKernelTest, MoreRowsThanAreHeldAtATime) {
  for (const int64_t rows : {kPackedRows - 1, kPackedRows, kPackedRows + 1, 2 * kPackedRows + 5}) {
    check(rows, 136, 33, true);
  }
}

TEST_P(PackedKernelTest, RandomShapes) {
  const uint64_t seed = 20240603;
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Generator shapes(seed);
  const auto draw = [&](uint64_t bound) { return static_cast<int64_t>(1 + shapes.below(bound)); };
  for (int i = 0; i < 40; ++i) check(draw(33), draw(900), draw(150), draw(2) == 1);
}

TEST_P(PackedKernelTest, ARowDoesNotDependOnItsCompanionsOrOnTheRange) {
  const int64_t inputs = 450;
  const int64_t outputs = 150;
  const PackedMatrix matrix(form(), outputs, inputs, generator_);
  const std::vector<float> x = random_activations(40 * inputs, generator_);
  const AlignedBytes one_by_one = quantized(table(), form(), x.data(), 1, inputs);
  for (const int64_t rows : {2, 7, 8, 9, 33, 40}) {
    SCOPED_TRACE(testing::Message() << rows << " rows");
    const AlignedBytes together = quantized(table(), form(), x.data(), rows, inputs);
    std::vector<float> got(index(rows * outputs), 7.0f);
    for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 48}, {48, 64}, {64, 150}}) {
      const std::vector<float> part =
          packed_product(table(), form(), matrix, together, rows, nullptr, begin, end);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t o = 0; o < outputs; ++o) {
          const std::size_t i = index(r * outputs + o);
          if (o >= begin && o < end) {
            got[i] = part[i];
          } else {
            ASSERT_EQ(part[i], 7.0f) << "written outside [" << begin << ", " << end << ")";
          }
        }
      }
    }
    for (const int64_t r : {int64_t{0}, rows / 2, rows - 1}) {
      const AlignedBytes alone = quantized(table(), form(), x.data() + r * inputs, 1, inputs);
      const std::vector<float> expected =
          packed_product(table(), form(), matrix, alone, 1, nullptr, 0, outputs);
      const auto row = got.begin() + r * outputs;
      EXPECT_EQ(bits_of({row, row + outputs}), bits_of(expected)) << "row " << r;
    }
  }
}

TEST_P(PackedKernelTest, NanAndInfinityReachTheirRowOnly) {
  const int64_t inputs = 256;
  const PackedMatrix matrix(form(), 20, inputs, generator_);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const int64_t rows : {1, 3, 10}) {
      std::vector<float> x = random_activations(rows * inputs, generator_);
      x[index((rows - 1) * inputs + 200)] = bad;
      const AlignedBytes got_x = quantized(table(), form(), x.data(), rows, inputs);
      const AlignedBytes expected_x = quantized(scalar(), form(), x.data(), rows, inputs);
      ASSERT_EQ(std::memcmp(got_x.data(), expected_x.data(), got_x.size()), 0);
      const std::vector<float> got =
          packed_product(table(), form(), matrix, got_x, rows, nullptr, 0, 20);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t o = 0; o < 20; ++o) {
          EXPECT_EQ(std::isfinite(got[index(r * 20 + o)]), r < rows - 1);
        }
      }
    }
  }
}

TEST_P(PackedKernelTest, AnyBlockOfASlabMayBeSpecial) {
  const int64_t inputs = 256;
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float special :
       {0.0f, 0x1p-121f, 0x1p-120f, 0x1p127f, infinity, std::numeric_limits<float>::quiet_NaN()}) {
    for (int64_t block = 0; block < inputs / 32; ++block) {
      std::vector<float> x = random_activations(inputs, generator_);
      for (int64_t i = 0; i < 32; ++i) x[index(32 * block + i)] = special;
      const AlignedBytes got = quantized(table(), form(), x.data(), 1, inputs);
      const AlignedBytes expected = quantized(scalar(), form(), x.data(), 1, inputs);
      EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size()), 0)
          << special << " in block " << block;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PackedKernelTest, testing::ValuesIn(packed_settings()),
                         [](const auto& setting) { return setting_text(setting.param); });

}  // namespace
}  // namespace llava::kernels
