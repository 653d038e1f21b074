// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/scale_search.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "llava/core/float_formats.h"

namespace llava::checkpoint {
namespace {

constexpr std::size_t kLanes = 4;
// As many numbers as the oldest processors treat at once; others run the same instructions.
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

Lanes load(const float* x) {
  Lanes lanes;
  std::memcpy(&lanes, x, sizeof(lanes));
  return lanes;
}

// The integer in [low, high] that is nearest to x, ties to even: what is added leaves no bits
// behind the point of |x| < 2^22.
Lanes nearest_code(Lanes x, float low, float high) {
  const Lanes least = Lanes{} + low;
  const Lanes most = Lanes{} + high;
  const Lanes shift = Lanes{} + 12582912.0f;
  x = x > least ? x : least;
  x = x < most ? x : most;
  return (x + shift) - shift;
}

double total(Lanes lanes) {
  double sum = 0;
  for (std::size_t i = 0; i < kLanes; ++i) sum += double{lanes[i]};
  return sum;
}

float rounded_to_float16(double x) { return float_from_f16(f16_from_float(static_cast<float>(x))); }

float inverse_of(float scale) { return scale != 0 ? 1.0f / scale : 0.0f; }

// Of the weights as they will be stored.
double weighted_error(const GroupInput& in, const GroupFit& fit, float low, float high) {
  const float inverse = inverse_of(fit.scale);
  Lanes sum{};
  for (std::size_t i = 0; i < kGroupSize; i += kLanes) {
    const Lanes x = load(in.x.data() + i);
    const Lanes q = nearest_code((x - fit.minimum) * inverse, low, high);
    const Lanes lost = x - (q * fit.scale + fit.minimum);
    sum += load(in.importance.data() + i) * lost * lost;
  }
  return total(sum);
}

// The search's result, unless rounding it to float16, or sums in float32, made it the worse one.
GroupFit better_of(const GroupInput& in, const GroupFit& found, const GroupFit& plain, float low,
                   float high) {
  const bool is_better =
      weighted_error(in, found, low, high) <= weighted_error(in, plain, low, high);
  return is_better ? found : plain;
}

constexpr float kLow = -8.0f, kHigh = 7.0f;  // codes without a minimum
constexpr float kNumSteps = 15.0f;           // codes with one are 0 .. 15
constexpr int kNumRefinements = 2;

// Codes of the largest weight that say which codes the others get. Beyond -8 it is cut, which suits
// the others; where its input is rarely large, far beyond. Seven and eight are among them, so a
// matrix that was quantised in this form before keeps its weights. Trying every scale would lower
// the squared error by another 0.2 %, with importances that differ widely by 2 %.
constexpr std::array<float, 13> kLevels = {-5.0f, -6.0f,  -6.5f,  -7.0f,  -7.5f,  -8.0f, -8.5f,
                                           -9.0f, -10.0f, -11.0f, -12.0f, -14.0f, -16.0f};

// x ~ scale * q: for given codes the scale follows from the least squares, and its gain is what it
// takes off the weighted square of the weights.
struct ScaleSearch {
  const GroupInput& in;
  double scale = 0;
  double gain = 0;

  // Tries the codes nearest to x * inverse; whether they are the best so far.
  bool try_codes(float inverse) {
    Lanes products{}, squares{};
    for (std::size_t i = 0; i < kGroupSize; i += kLanes) {
      const Lanes x = load(in.x.data() + i);
      const Lanes q = nearest_code(x * inverse, kLow, kHigh);
      const Lanes weighted = load(in.importance.data() + i) * q;
      products += weighted * x;
      squares += weighted * q;
    }
    const double product = total(products);
    const double square = total(squares);
    if (!(square > 0) || !(product * product > gain * square)) return false;
    gain = product * product / square;
    scale = product / square;
    return true;
  }
};

// x ~ scale * q + minimum, likewise.
class MinimumSearch {
 public:
  explicit MinimumSearch(const GroupInput& in) : in_(in) {
    Lanes weights{}, values{}, norms{};
    for (std::size_t i = 0; i < kGroupSize; i += kLanes) {
      const Lanes x = load(in.x.data() + i);
      const Lanes weighted = load(in.importance.data() + i) * x;
      weights += load(in.importance.data() + i);
      values += weighted;
      norms += weighted * x;
    }
    sw_ = total(weights), sx_ = total(values), sxx_ = total(norms);
  }

  // Tries the codes nearest to (x - least) * inverse; whether they are the best so far.
  bool try_codes(float least, float inverse) {
    Lanes codes{}, squares{}, products{};
    for (std::size_t i = 0; i < kGroupSize; i += kLanes) {
      const Lanes x = load(in_.x.data() + i);
      const Lanes q = nearest_code((x - least) * inverse, 0.0f, kNumSteps);
      const Lanes weighted = load(in_.importance.data() + i) * q;
      codes += weighted;
      squares += weighted * q;
      products += weighted * x;
    }
    const double sq = total(codes), sqq = total(squares), sxq = total(products);
    const double determinant = sw_ * sqq - sq * sq;
    if (!(determinant > 0)) return false;
    const double found_scale = (sw_ * sxq - sq * sx_) / determinant;
    const double found_minimum = (sqq * sx_ - sq * sxq) / determinant;
    const double found_error = sxx_ - found_scale * sxq - found_minimum * sx_;
    if (!(found_scale > 0) || !(found_error < error)) return false;
    scale = found_scale;
    minimum = found_minimum;
    error = found_error;
    return true;
  }

  double scale = 0, minimum = 0;
  double error = std::numeric_limits<double>::infinity();

 private:
  const GroupInput& in_;
  double sw_, sx_, sxx_;
};

}  // namespace

void choose_codes(const GroupInput& in, const GroupFit& fit, float low, float high,
                  GroupValues& codes) noexcept {
  const float inverse = inverse_of(fit.scale);
  for (std::size_t i = 0; i < kGroupSize; i += kLanes) {
    const Lanes q = nearest_code((load(in.x.data() + i) - fit.minimum) * inverse, low, high);
    std::memcpy(codes.data() + i, &q, sizeof(q));
  }
}

GroupFit search_scale(const GroupInput& in) noexcept {
  // Signed: it takes the code -8, which has no positive counterpart.
  const float most = *std::max_element(
      in.begin(), in.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  if (most == 0) return {};
  ScaleSearch search{.in = in};
  for (const float level : kLevels) search.try_codes(level / most);
  for (int i = 0; i < kNumRefinements && search.scale != 0; ++i) {
    if (!search.try_codes(static_cast<float>(1.0 / search.scale))) break;
  }
  const GroupFit plain{.scale = rounded_to_float16(double{most} / double{kLow})};
  // No gain is seen where importances or squares vanish in float32.
  if (search.scale == 0) return plain;
  return better_of(in, {.scale = rounded_to_float16(search.scale)}, plain, kLow, kHigh);
}

GroupFit search_scale_and_minimum(const GroupInput& in) noexcept {
  const auto [least, most] = std::minmax_element(in.begin(), in.end());
  const double width = double{*most} - double{*least};
  const GroupFit plain{.scale = rounded_to_float16(width / double{kNumSteps}),
                       .minimum = rounded_to_float16(double{*least})};
  if (!(width > 0)) return plain;
  MinimumSearch search(in);
  for (float levels = 14.0f; levels <= 16.0f; levels += 0.25f) {
    search.try_codes(*least, static_cast<float>(double{levels} / width));
  }
  for (int i = 0; i < kNumRefinements && search.scale > 0; ++i) {
    const auto minimum = static_cast<float>(search.minimum);
    if (!search.try_codes(minimum, static_cast<float>(1.0 / search.scale))) break;
  }
  if (!(search.scale > 0)) return plain;
  const GroupFit found{.scale = rounded_to_float16(search.scale),
                       .minimum = rounded_to_float16(search.minimum)};
  return better_of(in, found, plain, 0.0f, kNumSteps);
}

}  // namespace llava::checkpoint
