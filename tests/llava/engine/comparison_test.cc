// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/parity/comparison.h"

#include <gtest/gtest.h>

#include <cmath>

namespace llava::engine {
namespace {

Tensor row(std::vector<float> values) {
  return Tensor::from_floats({1, static_cast<int64_t>(values.size())}, values);
}

TEST(CompareFloats, JudgesTheDifferenceAgainstTheLargestMagnitude) {
  const Tensor reference = row({100, 1, 0});
  const FloatRule rule{.tolerance = 1e-3};
  EXPECT_EQ(compare_floats("x", row({100, 1.09f, 0}), reference, rule).verdict, Verdict::kOk);
  EXPECT_EQ(compare_floats("x", row({100, 1.2f, 0}), reference, rule).verdict, Verdict::kDiffers);
}

TEST(CompareFloats, AnotherShapeDiffersAndIsNamed) {
  const ComparisonRow result = compare_floats("x", row({1, 2}), row({1, 2, 3}), {});
  EXPECT_EQ(result.verdict, Verdict::kDiffers);
  EXPECT_NE(result.note.find("[1, 2]"), std::string::npos);
}

TEST(CompareFloats, ANumberThatIsNotFiniteOnOneSideDiffers) {
  EXPECT_EQ(compare_floats("x", row({NAN, 1}), row({0, 1}), {.tolerance = 1}).verdict,
            Verdict::kDiffers);
  EXPECT_EQ(compare_floats("x", row({NAN, 1}), row({0, 1}), {.uses_cosine = true}).verdict,
            Verdict::kDiffers);
}

TEST(CompareFloats, SixteenBitRunsAreJudgedByTheWorstPosition) {
  const Tensor reference = Tensor::from_floats({2, 2}, std::vector<float>{1, 0, 1, 0});
  const FloatRule rule{.uses_cosine = true};
  const auto verdict = [&](float tilt) {
    return compare_floats("x", Tensor::from_floats({2, 2}, std::vector<float>{1, 0, 1, tilt}),
                          reference, rule)
        .verdict;
  };
  EXPECT_EQ(verdict(0.001f), Verdict::kOk);
  EXPECT_EQ(verdict(0.05f), Verdict::kOkBelowTarget);  // cosine 0.99875
  EXPECT_EQ(verdict(0.2f), Verdict::kDiffers);         // cosine 0.98058
}

TEST(CompareFloats, IsOnlyMeasuredInAnotherDtype) {
  EXPECT_EQ(compare_floats("x", row({5}), row({1}), {.is_judged = false}).verdict,
            Verdict::kMeasured);
}

TEST(CompareExact, TellsZeroFromMinusZero) {
  EXPECT_EQ(compare_exact("x", row({0.0f}), row({0.0f})).verdict, Verdict::kOk);
  EXPECT_EQ(compare_exact("x", row({-0.0f}), row({0.0f})).verdict, Verdict::kDiffers);
}

TEST(CompareIds, NamesTheFirstPositionBothIdsAndTheTexts) {
  const auto text_of = [](std::span<const int64_t> ids) {
    std::string text;
    for (const int64_t id : ids) text += static_cast<char>('a' + id);
    return text;
  };
  const std::vector<int64_t> ours{0, 1, 2, 3}, reference{0, 1, 5, 3};
  const ComparisonRow result = compare_ids("ids", ours, reference, -1, text_of);
  EXPECT_EQ(result.verdict, Verdict::kDiffers);
  EXPECT_EQ(result.note, "position 2: 2 instead of 5; text around: \"abcd\" instead of \"abfd\"");
  EXPECT_EQ(compare_ids("ids", ours, reference, 2, text_of).verdict, Verdict::kOk);
  EXPECT_EQ(compare_ids("ids", ours, reference, 3, text_of).verdict, Verdict::kDiffers);
  const std::vector<int64_t> shorter{0, 1};
  EXPECT_EQ(compare_ids("ids", shorter, reference, -1, text_of).verdict, Verdict::kDiffers);
}

}  // namespace
}  // namespace llava::engine
