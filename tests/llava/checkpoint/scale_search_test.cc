// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/scale_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "llava/core/float_formats.h"
#include "llava/core/random.h"

namespace llava::checkpoint {
namespace {

// Sums in float32 order fits of nearly the same error by chance.
constexpr double kSlack = 1 + 1e-5;

double float16(double x) { return float_from_f16(f16_from_float(static_cast<float>(x))); }

// Sum of importance * (x - (scale * q + minimum))^2 with the nearest codes.
double error_of(const GroupInput& in, double scale, double minimum, double low, double high) {
  double sum = 0;
  for (std::size_t i = 0; i < kGroupSize; ++i) {
    const double q =
        scale != 0 ? std::clamp(std::nearbyint((double{in.x[i]} - minimum) / scale), low, high) : 0;
    sum += double{in.importance[i]} * std::pow(double{in.x[i]} - (scale * q + minimum), 2);
  }
  return sum;
}

double error_of(const GroupInput& in, const GroupFit& fit) {
  return error_of(in, double{fit.scale}, 0, -8, 7);
}

double error_with_minimum(const GroupInput& in, const GroupFit& fit) {
  return error_of(in, double{fit.scale}, double{fit.minimum}, 0, 15);
}

double largest(const GroupInput& in) {
  double most = 0;
  for (const float x : in.x) {
    if (std::fabs(double{x}) > std::fabs(most)) most = double{x};
  }
  return most;
}

// The rule that search_scale may not be worse than.
double error_of_plain_rule(const GroupInput& in) {
  return error_of(in, float16(largest(in) / -8), 0, -8, 7);
}

double error_of_plain_ends(const GroupInput& in) {
  const auto [least, most] = std::minmax_element(in.begin(), in.end());
  return error_of(in, float16((double{*most} - double{*least}) / 15), float16(double{*least}), 0,
                  15);
}

// Of every scale, in steps of 0.4 %, under which a code of the largest weight makes sense.
double error_of_best_scale(const GroupInput& in) {
  double best = error_of_plain_rule(in);
  for (double level = 3; level < 20; level *= 1.004) {
    for (const double sign : {-1.0, 1.0}) {
      best = std::min(best, error_of(in, float16(sign * largest(in) / level), 0, -8, 7));
    }
  }
  return best;
}

enum class Importance { kNone, kSpread, kZeros };

// Sums of uniform numbers, as good as normal ones here; now and then a weight far from the others.
GroupInput random_group(Generator& generator, Importance kind) {
  GroupInput in;
  const double mean = generator.below(2) == 0 ? 0 : 0.1 * (generator.uniform() - 0.5);
  const double size = std::exp(12 * (generator.uniform() - 0.5));
  in.count = generator.below(4) == 0 ? 1 + generator.below(kGroupSize) : kGroupSize;
  for (std::size_t i = 0; i < in.count; ++i) {
    double sum = -3;
    for (int k = 0; k < 6; ++k) sum += generator.uniform();
    if (generator.below(40) == 0) sum *= 6;
    in.x[i] = static_cast<float>(size * (mean + 0.05 * sum));
    in.importance[i] = 1;
    if (kind == Importance::kSpread) {
      in.importance[i] = static_cast<float>(std::exp(8 * (generator.uniform() - 0.5)));
    } else if (kind == Importance::kZeros) {
      in.importance[i] = generator.below(3) == 0 ? 1.0f : 0.0f;
    }
  }
  return in;
}

TEST(ScaleSearch, IsNeverWorseThanThePlainRules) {
  constexpr uint64_t kSeed = 20261;
  Generator generator(kSeed);
  for (const Importance kind : {Importance::kNone, Importance::kSpread, Importance::kZeros}) {
    for (int round = 0; round < 2000; ++round) {
      SCOPED_TRACE("seed " + std::to_string(kSeed) + ", round " + std::to_string(round));
      const GroupInput in = random_group(generator, kind);
      ASSERT_LE(error_of(in, search_scale(in)), kSlack * error_of_plain_rule(in));
      ASSERT_LE(error_with_minimum(in, search_scale_and_minimum(in)),
                kSlack * error_of_plain_ends(in));
    }
  }
}

// Over many groups: nearly all that trying every scale would win.
TEST(ScaleSearch, FindsNearlyTheBestScale) {
  for (const Importance kind : {Importance::kNone, Importance::kSpread}) {
    Generator generator(7);
    double found = 0, best = 0, plain = 0;
    for (int round = 0; round < 100; ++round) {
      const GroupInput in = random_group(generator, kind);
      // Groups count alike, whatever the size of their weights.
      const double unit = std::pow(largest(in), 2);
      found += error_of(in, search_scale(in)) / unit;
      best += error_of_best_scale(in) / unit;
      plain += error_of_plain_rule(in) / unit;
    }
    EXPECT_GE(found, best / kSlack);
    EXPECT_LE(found, 1.03 * best);
    EXPECT_LE(found, 0.9 * plain);
  }
}

// The best scale of this group is 1/16, under which its largest weight is cut to -1/2 and loses
// 1/8; the plain rule takes 5/64.
TEST(ScaleSearch, CutsAWeightThatMattersLittle) {
  GroupInput in;
  for (std::size_t i = 0; i < kGroupSize; ++i) {
    in.x[i] = 0.0625f * static_cast<float>(static_cast<int>(i % 15) - 7);
    in.importance[i] = 1;
  }
  in.x[5] = -0.625f;
  in.importance[5] = 0.001f;
  EXPECT_EQ(search_scale(in).scale, 0.0625f);
  EXPECT_NEAR(error_of(in, search_scale(in)), 0.001 * 0.015625, 1e-9);
}

TEST(ScaleSearch, NothingIsFoundInZeros) {
  const GroupInput zeros;
  EXPECT_EQ(search_scale(zeros).scale, 0.0f);
  EXPECT_EQ(search_scale_and_minimum(zeros).scale, 0.0f);
  EXPECT_EQ(search_scale_and_minimum(zeros).minimum, 0.0f);
}

TEST(ScaleSearch, CodesAreTheNearest) {
  GroupInput in;
  in.x = {0.0f, 0.24f, 0.26f, -0.74f, 0.75f, 1.25f, 99.0f, -99.0f};
  GroupValues codes;
  choose_codes(in, {.scale = 0.5f}, -8, 7, codes);
  const GroupValues expected = {0, 0, 1, -1, 2, 2, 7, -8};
  EXPECT_EQ(codes, expected);
}

}  // namespace
}  // namespace llava::checkpoint
