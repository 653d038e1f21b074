// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/quantize_weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "llava/core/check.h"
#include "llava/core/float_formats.h"
#include "llava/tensor/packed.h"

namespace llava::checkpoint {
namespace {

constexpr std::size_t kLanes = 4;
// As many numbers as the oldest processors treat at once; others run the same instructions.
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));
constexpr std::size_t kGroup = kPackedGroup;
using Values = std::array<float, kGroup>;

// Nearest integer, ties to even, of |x| < 2^22: the addition leaves no bits behind the point.
float nearest(float x) {
  constexpr float kShift = 12582912.0f;
  return (x + kShift) - kShift;
}

Lanes nearest(Lanes x) {
  const Lanes shift = Lanes{} + 12582912.0f;
  return (x + shift) - shift;
}

Lanes load(const float* x) {
  Lanes lanes;
  std::memcpy(&lanes, x, sizeof(lanes));
  return lanes;
}

Lanes clamp(Lanes x, float low, float high) {
  const Lanes least = Lanes{} + low;
  const Lanes most = Lanes{} + high;
  x = x > least ? x : least;
  return x < most ? x : most;
}

double total(Lanes lanes) {
  double sum = 0;
  for (std::size_t i = 0; i < kLanes; ++i) sum += double{lanes[i]};
  return sum;
}

// Weights of one group in float32 with what makes an error there costly. Behind the first `count`
// stand zeros, whose importance is zero.
struct GroupInput {
  Values x;
  Values importance;
  std::size_t count = kGroup;

  auto begin() const { return x.begin(); }
  auto end() const { return x.begin() + static_cast<std::ptrdiff_t>(count); }
};

// Scale (and minimum) of a group before they are rounded to float16.
struct Fit {
  double scale = 0;
  double minimum = 0;
};

// The largest weight takes about the code `levels`: a little more or less may suit the others
// better. Seven and eight are among the candidates for -8, so a matrix that was quantised in this
// form before keeps its weights. Finer steps find nothing: on weights like the normal distribution
// 21 candidates leave the same relative error, 7.68 %, for twice the time.
constexpr int kNumCandidates = 9;
constexpr int kMiddleCandidate = kNumCandidates / 2;
float candidate(float levels, int index) {
  return levels + 0.25f * static_cast<float>(index - kMiddleCandidate);
}

// The best scale of x ~ scale * q with q in [low, high]. For given codes the scale follows from the
// least squares; the codes tried are those of the candidates.
Fit fit_scale(const GroupInput& in, float most, float low, float high) {
  Fit best;
  double best_gain = 0;
  for (int index = 0; index < kNumCandidates; ++index) {
    const float inverse = candidate(low, index) / most;
    Lanes products{}, squares{};
    for (std::size_t i = 0; i < kGroup; i += kLanes) {
      const Lanes x = load(in.x.data() + i);
      const Lanes q = clamp(nearest(x * inverse), low, high);
      const Lanes weighted = load(in.importance.data() + i) * q;
      products += weighted * x;
      squares += weighted * q;
    }
    const double product = total(products);
    const double square = total(squares);
    // The weighted error is what remains of the norm: its fall by this scale.
    const double gain = square > 0 ? product * product / square : 0;
    if (gain > best_gain) {
      best_gain = gain;
      best.scale = product / square;
    }
  }
  return best;
}

// The best scale and minimum of x ~ scale * q + minimum with q in [0, high].
Fit fit_scale_and_minimum(const GroupInput& in, float least, float most, float high) {
  Fit best{.scale = 0, .minimum = least};
  double best_error = std::numeric_limits<double>::infinity();
  Lanes weights{}, values{}, norms{};
  for (std::size_t i = 0; i < kGroup; i += kLanes) {
    const Lanes x = load(in.x.data() + i);
    const Lanes weighted = load(in.importance.data() + i) * x;
    weights += load(in.importance.data() + i);
    values += weighted;
    norms += weighted * x;
  }
  const double sw = total(weights), sx = total(values), sxx = total(norms);
  for (int index = 0; index < kNumCandidates; ++index) {
    const float inverse = candidate(high, index) / (most - least);
    Lanes codes{}, squares{}, products{};
    for (std::size_t i = 0; i < kGroup; i += kLanes) {
      const Lanes x = load(in.x.data() + i);
      const Lanes q = clamp(nearest((x - least) * inverse), 0.0f, high);
      const Lanes weighted = load(in.importance.data() + i) * q;
      codes += weighted;
      squares += weighted * q;
      products += weighted * x;
    }
    const double sq = total(codes), sqq = total(squares), sxq = total(products);
    const double determinant = sw * sqq - sq * sq;
    if (!(determinant > 0)) continue;
    const Fit fit{.scale = (sw * sxq - sq * sx) / determinant,
                  .minimum = (sqq * sx - sq * sxq) / determinant};
    const double error = sxx - fit.scale * sxq - fit.minimum * sx;
    if (fit.scale > 0 && error < best_error) {
      best_error = error;
      best = fit;
    }
  }
  return best;
}

// Codes nearest to the weights under the scale and minimum that are stored.
void choose_codes(DType form, const Values& x, std::size_t begin, std::size_t end, float scale,
                  float minimum, PackedGroup& group) {
  const auto zero = static_cast<float>(zero_code(form));
  const float most = packed_code_bits(form) == 4 ? 15.0f : 255.0f;
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  for (std::size_t i = begin; i < end; ++i) {
    // A scale among the smallest float16 values may be far smaller than its group's weights.
    const float code = std::clamp((x[i] - minimum) * inverse + zero, 0.0f, most);
    group.codes[i] = static_cast<uint8_t>(nearest(code));
  }
}

class GroupQuantizer {
 public:
  explicit GroupQuantizer(DType form) : form_(form) {}

  PackedGroup quantize(const GroupInput& in) const {
    PackedGroup group{};
    if (std::any_of(in.begin(), in.end(), [](float x) { return !std::isfinite(x); })) {
      group.scales.fill(f16_from_float(std::numeric_limits<float>::quiet_NaN()));
      return group;
    }
    if (has_minimum(form_)) {
      with_minimum(in, group);
    } else if (form_ == DType::kPackedQ8Half) {
      with_largest(in, 0, kGroup / 2, 0, group);
      with_largest(in, kGroup / 2, kGroup, 1, group);
    } else if (form_ == DType::kPackedQ8) {
      with_largest(in, 0, kGroup, 0, group);
    } else {
      with_search(in, group);
    }
    return group;
  }

 private:
  // Eight bits: the largest weight gets the last code; there is little to win by a search.
  void with_largest(const GroupInput& in, std::size_t begin, std::size_t end,
                    std::size_t scale_index, PackedGroup& group) const {
    float most = 0;
    for (std::size_t i = begin; i < end; ++i) most = std::max(most, std::fabs(in.x[i]));
    store_scale(most / 127.0f, scale_index, group);
    choose_codes(form_, in.x, begin, end, float_from_f16(group.scales[scale_index]), 0, group);
  }

  void with_search(const GroupInput& in, PackedGroup& group) const {
    // Signed: it takes the code -8, which has no positive counterpart.
    const float most = *std::max_element(
        in.begin(), in.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
    double scale = 0;
    if (most != 0) {
      scale = fit_scale(in, most, -8.0f, 7.0f).scale;
      // No gain is seen where importances or squares vanish in float32.
      if (scale == 0) scale = double{most} / -8;
    }
    store_scale(static_cast<float>(scale), 0, group);
    choose_codes(form_, in.x, 0, kGroup, float_from_f16(group.scales[0]), 0, group);
  }

  void with_minimum(const GroupInput& in, PackedGroup& group) const {
    const auto [least, most] = std::minmax_element(in.begin(), in.end());
    const float levels = packed_code_bits(form_) == 4 ? 15.0f : 255.0f;
    Fit fit{.scale = (double{*most} - double{*least}) / double{levels}, .minimum = *least};
    if (*least < *most && packed_code_bits(form_) == 4) {
      const Fit searched = fit_scale_and_minimum(in, *least, *most, levels);
      if (searched.scale > 0) fit = searched;
    }
    store_scale(static_cast<float>(fit.scale), 0, group);
    group.minimum = f16_from_float(static_cast<float>(fit.minimum));
    choose_codes(form_, in.x, 0, kGroup, float_from_f16(group.scales[0]),
                 float_from_f16(group.minimum), group);
  }

  void store_scale(float scale, std::size_t index, PackedGroup& group) const {
    group.scales[index] = f16_from_float(scale);
    if (form_ != DType::kPackedQ8Half) group.scales[1] = group.scales[0];
  }

  DType form_;
};

// Row `row` of a float matrix as float32, behind it zeros up to a whole group.
void read_row(const Tensor& weight_OI, int64_t row, std::vector<float>& out) {
  const Tensor values = host_to_float32(weight_OI.rows(row, row + 1));
  std::ranges::copy(values.data<float>(), out.begin());
}

}  // namespace

double QuantizationError::relative_rms() const {
  return squared_norm > 0 ? std::sqrt(squared_error / squared_norm) : 0.0;
}

QuantizedMatrix quantize_matrix(ThreadPool& pool, const Tensor& weight_OI, DType form,
                                std::span<const float> importance) {
  LLAVA_CHECK(weight_OI.is_defined() && weight_OI.rank() == 2 && is_packed(form) &&
              (importance.empty() || static_cast<int64_t>(importance.size()) == weight_OI.dim(1)));
  const PackedLayout layout(form, weight_OI.shape());
  const auto padded = static_cast<std::size_t>(layout.num_groups()) * kGroup;
  std::vector<float> importances(padded, 0.0f);
  if (importance.empty()) {
    std::fill_n(importances.begin(), layout.num_inputs(), 1.0f);
  } else {
    std::ranges::copy(importance, importances.begin());
  }
  Tensor packed = Tensor::empty(weight_OI.shape(), form);
  std::byte* matrix = packed.mutable_bytes().data();
  std::vector<QuantizationError> errors(static_cast<std::size_t>(layout.num_panels()));
  const GroupQuantizer quantizer(form);

  pool.run(layout.num_panels(), [&](int64_t panel) {
    std::memset(matrix + panel * layout.panel_bytes(), 0,
                static_cast<std::size_t>(layout.panel_bytes()));
    QuantizationError& error = errors[static_cast<std::size_t>(panel)];
    std::vector<float> row(padded);
    GroupInput in;
    Values result;
    const int64_t end = std::min(layout.num_outputs(), (panel + 1) * kPackedPanel);
    for (int64_t output = panel * kPackedPanel; output < end; ++output) {
      read_row(weight_OI, output, row);
      for (int64_t g = 0; g < layout.num_groups(); ++g) {
        const auto begin = static_cast<std::ptrdiff_t>(g * kPackedGroup);
        in.count = static_cast<std::size_t>(
            std::min(kPackedGroup, layout.num_inputs() - g * kPackedGroup));
        std::copy_n(row.begin() + begin, kGroup, in.x.begin());
        std::copy_n(importances.begin() + begin, kGroup, in.importance.begin());
        const PackedGroup group = quantizer.quantize(in);
        layout.write(matrix, output, g, group);
        dequantize_group(form, group, result);
        for (std::size_t i = 0; i < in.count; ++i) {
          const double lost = double{in.x[i]} - double{result[i]};
          error.squared_error += lost * lost;
          error.squared_norm += double{in.x[i]} * double{in.x[i]};
        }
      }
    }
  });
  QuantizedMatrix quantized{.weight = std::move(packed), .error = {}};
  for (const QuantizationError& error : errors) {
    quantized.error.squared_error += error.squared_error;
    quantized.error.squared_norm += error.squared_norm;
  }
  return quantized;
}

Tensor dequantize_matrix(ThreadPool& pool, const Tensor& packed_OI) {
  Tensor floats = Tensor::empty(packed_OI.shape(), DType::kFloat32);
  const auto width = static_cast<std::size_t>(packed_OI.dim(1));
  const auto values = floats.mutable_data<float>();
  pool.run_ranges(packed_OI.dim(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      dequantize_row(packed_OI, row, values.subspan(static_cast<std::size_t>(row) * width, width));
    }
  });
  return floats;
}

}  // namespace llava::checkpoint
