// SPDX-License-Identifier: Apache-2.0
//
// linear with packed weights against sums in double precision over the activations' codes, and rows
// of packed tables.
#include <algorithm>
#include <array>
#include <cmath>

#include "llava/backend/backend_case.h"
#include "llava/core/float_formats.h"
#include "llava/kernels/dispatch.h"
#include "llava/tensor/packed.h"

namespace llava {
namespace {

constexpr std::array kForms = {DType::kPackedQ4, DType::kPackedQ4Min, DType::kPackedQ8,
                               DType::kPackedQ8Min, DType::kPackedQ8Half};

// Inputs that share a scale: part of the operation's definition.
constexpr std::size_t kActivationBlock = 32;

Tensor packed_weight(Arguments& arguments, int64_t num_outputs, int64_t num_inputs, DType form) {
  Generator& generator = arguments.generator();
  Tensor weight = Tensor::zeros({num_outputs, num_inputs}, form);
  const PackedLayout layout(form, weight.shape());
  for (int64_t output = 0; output < num_outputs; ++output) {
    for (int64_t group = 0; group < layout.num_groups(); ++group) {
      PackedGroup value{};
      for (uint8_t& code : value.codes) {
        code = static_cast<uint8_t>(generator.below(packed_code_bits(form) == 4 ? 16 : 256));
      }
      for (uint16_t& scale : value.scales) {
        scale = f16_from_float(static_cast<float>(0.01 + 0.01 * generator.uniform()));
      }
      value.minimum = f16_from_float(static_cast<float>(-0.1 * generator.uniform()));
      layout.write(weight.mutable_bytes().data(), output, group, value);
    }
  }
  return weight;
}

// What the operation takes a row of activations for.
std::vector<double> quantized(const Tensor& x_TI, std::size_t block) {
  const Tensor floats = host_to_float32(x_TI);
  const auto x = floats.data<float>();
  const auto width = static_cast<std::size_t>(x_TI.dim(1));
  std::vector<double> result(x.size());
  for (std::size_t begin = 0; begin < x.size();) {
    const std::size_t end = std::min({begin + block, x.size(), (begin / width + 1) * width});
    float most = 0;
    for (std::size_t i = begin; i < end; ++i) most = std::max(most, std::fabs(x[i]));
    for (std::size_t i = begin; i < end && most > 0; ++i) {
      result[i] = double{std::nearbyintf(x[i] * (127.0f / most))} * double{most / 127.0f};
    }
    begin = end;
  }
  return result;
}

// The magnitude of a term counts scale * code and minimum apart, as they are summed apart.
Expected product(const Tensor& x_TI, const Tensor& weight_OI, const Tensor& bias_O) {
  const auto num_rows = static_cast<std::size_t>(x_TI.dim(0));
  const auto num_inputs = static_cast<std::size_t>(x_TI.dim(1));
  const auto num_outputs = static_cast<std::size_t>(weight_OI.dim(0));
  const DType form = weight_OI.dtype();
  const std::vector<double> x = quantized(x_TI, kActivationBlock);
  const std::vector<double> bias = bias_O.is_defined() ? to_doubles(bias_O) : std::vector<double>();
  const PackedLayout layout(form, weight_OI.shape());
  Expected expected({x_TI.dim(0), weight_OI.dim(0)});
  for (std::size_t o = 0; o < num_outputs; ++o) {
    std::vector<double> weights(num_inputs), magnitudes(num_inputs);
    for (std::size_t i = 0; i < num_inputs; ++i) {
      const PackedGroup group = layout.read(weight_OI.bytes().data(), static_cast<int64_t>(o),
                                            static_cast<int64_t>(i) / kPackedGroup);
      const std::size_t at = i % kPackedGroup;
      const double scale = float_from_f16(group.scales[at / 16]);
      const double minimum = has_minimum(form) ? double{float_from_f16(group.minimum)} : 0.0;
      const double part = scale * (group.codes[at] - zero_code(form));
      weights[i] = part + minimum;
      magnitudes[i] = std::fabs(part) + std::fabs(minimum);
    }
    for (std::size_t t = 0; t < num_rows; ++t) {
      double sum = bias.empty() ? 0.0 : bias[o];
      double magnitude = std::fabs(sum);
      for (std::size_t i = 0; i < num_inputs; ++i) {
        sum += x[t * num_inputs + i] * weights[i];
        magnitude += std::fabs(x[t * num_inputs + i]) * magnitudes[i];
      }
      // The products' own roundings, those of the sums, and the bias.
      const double num_roundings = static_cast<double>(num_inputs) + 4;
      expected.set(t * num_outputs + o, sum, num_roundings * kFloatRoundoff * magnitude);
    }
  }
  return expected;
}

class PackedLinearTest : public BackendCase {};

TEST_P(PackedLinearTest, MatchesTheSumForAllFormsAndShapes) {
  for (const DType form : kForms) {
    for (const int64_t num_rows : {1, 3, 17}) {
      for (const int64_t num_inputs : {1, 31, 64, 130, 288}) {
        for (const int64_t num_outputs : {1, 16, 45, 150}) {
          SCOPED_TRACE(testing::Message()
                       << dtype_name(form) << " " << num_rows << " rows, " << num_inputs
                       << " inputs, " << num_outputs << " outputs");
          const Tensor x = arguments.tensor({num_rows, num_inputs}, dtype(), 3.0);
          const Tensor weight = packed_weight(arguments, num_outputs, num_inputs, form);
          const Tensor bias =
              num_outputs % 2 == 0 ? arguments.tensor({num_outputs}, dtype()) : Tensor();
          expect_close(host(ops::linear(ctx(), x, ops::from_host(ctx(), weight), bias)),
                       product(x, weight, bias), dtype());
        }
      }
    }
  }
}

// Forms, sizes and biases of their own, as the weights of one layer may have.
TEST_P(PackedLinearTest, SeveralWeightsGiveWhatEachGivesAlone) {
  for (const int64_t num_rows : {0, 1, 3, 33}) {
    const Tensor x = arguments.tensor({num_rows, 130}, dtype(), 3.0);
    const std::array weights = {packed_weight(arguments, 45, 130, DType::kPackedQ4),
                                packed_weight(arguments, 1, 130, DType::kPackedQ8Half),
                                packed_weight(arguments, 300, 130, DType::kPackedQ4),
                                packed_weight(arguments, 16, 130, DType::kPackedQ4Min),
                                packed_weight(arguments, 20, 130, DType::kPackedQ8)};
    const Tensor bias = arguments.tensor({300}, dtype());
    const Tensor none;
    const std::vector<LinearWeights> list = {{weights[0], none},
                                             {weights[1], none},
                                             {weights[2], bias},
                                             {weights[3], none},
                                             {weights[4], none}};
    std::vector<Tensor> results(list.size());
    ops::linear_all(ctx(), x, list, results);
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Tensor alone = ops::linear(ctx(), x, list[i].weight_OI, list[i].bias_O);
      ASSERT_EQ(results[i].shape(), alone.shape());
      EXPECT_EQ(to_doubles(host(results[i])), to_doubles(host(alone))) << num_rows << " " << i;
    }
  }
}

TEST_P(PackedLinearTest, ZeroRowsAndRowsOfZeros) {
  const Tensor weight = packed_weight(arguments, 20, 70, DType::kPackedQ4);
  EXPECT_EQ(ops::linear(ctx(), Tensor::zeros({0, 70}, dtype()), weight, {}).shape(),
            (Shape{0, 20}));
  const Tensor out = host(ops::linear(ctx(), Tensor::zeros({2, 70}, dtype()), weight, {}));
  for (const double value : to_doubles(out)) EXPECT_EQ(value, 0.0);
}

// A damaged activation must reach the sampler, which reports it, and not hide in a code.
TEST_P(PackedLinearTest, DamagedRowsAreNotFinite) {
  for (const DType form : kForms) {
    const Tensor weight = packed_weight(arguments, 20, 160, form);
    for (const float bad : {std::nanf(""), INFINITY, -INFINITY}) {
      Tensor x = host_to_float32(arguments.tensor({2, 160}, DType::kFloat32));
      x.mutable_data<float>()[140] = bad;
      const auto out = to_doubles(host(ops::linear(ctx(), host_cast(x, dtype()), weight, {})));
      for (std::size_t o = 0; o < 20; ++o) {
        EXPECT_FALSE(std::isfinite(out[o])) << dtype_name(form);
        EXPECT_TRUE(std::isfinite(out[20 + o])) << dtype_name(form);
      }
    }
  }
}

TEST_P(PackedLinearTest, EmbeddingDequantisesRows) {
  const std::array<int32_t, 5> ids{18, 0, 7, 7, 16};
  for (const DType form : kForms) {
    const Tensor table = packed_weight(arguments, 19, 45, form);
    const Tensor floats = dequantize(table);
    const Tensor rows = host(ops::embedding(ctx(), ops::from_host(ctx(), table), ids, dtype()));
    ASSERT_EQ(rows.shape(), (Shape{5, 45}));
    ASSERT_EQ(rows.dtype(), dtype());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const Tensor got = rows.rows(static_cast<int64_t>(i), static_cast<int64_t>(i) + 1);
      const Tensor expected = host_cast(floats.rows(ids[i], ids[i] + 1), dtype());
      EXPECT_EQ(to_doubles(got), to_doubles(expected)) << dtype_name(form);
    }
  }
}

LLAVA_ON_ALL_BACKENDS(PackedLinearTest);

// Docs promise the same bits whatever the batch, the threads and the instruction set.
TEST(NativePackedLinear, SameBitsForEveryBatchThreadCountAndKernelTable) {
  Arguments arguments(31);
  for (const DType form : kForms) {
    const Tensor x = arguments.tensor({37, 352}, DType::kFloat32, 2.0);
    const Tensor weight = packed_weight(arguments, 400, 352, form);
    const Tensor bias = arguments.tensor({400}, DType::kFloat32);
    std::vector<float> reference;
    for (const kernels::KernelTable* table : kernels::available()) {
      const kernels::ScopedKernels scoped(table->name);
      for (const int num_threads : {1, 3}) {
        for (const int64_t rows : {37, 1, 5}) {
          const auto backend = test_backends()[0].make(num_threads);
          Context ctx{*backend};
          std::vector<float> out;
          for (int64_t begin = 0; begin < 37; begin += rows) {
            const Tensor part =
                ops::linear(ctx, x.rows(begin, std::min<int64_t>(37, begin + rows)), weight, bias);
            out.insert(out.end(), part.data<float>().begin(), part.data<float>().end());
          }
          if (reference.empty()) reference = out;
          EXPECT_EQ(out, reference) << dtype_name(form) << " " << table->name << " threads "
                                    << num_threads << " rows " << rows;
        }
      }
    }
  }
}

}  // namespace
}  // namespace llava
