// SPDX-License-Identifier: Apache-2.0
#include "llava/kernels/dispatch.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "llava/core/error.h"

namespace llava::kernels {
namespace {

TEST(DispatchTest, ScalarComesFirstAndNamesAreDistinct) {
  ASSERT_FALSE(available().empty());
  EXPECT_STREQ(available().front()->name, "scalar");
  std::vector<std::string> names;
  for (const KernelTable* table : available()) names.emplace_back(table->name);
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
}

TEST(DispatchTest, EveryTableIsComplete) {
  for (const KernelTable* table : available()) {
    for (int format = 0; format < kNumFormats; ++format) {
      EXPECT_NE(table->to_float[format], nullptr);
      EXPECT_NE(table->from_float[format], nullptr);
      EXPECT_NE(table->linear[format], nullptr);
      EXPECT_NE(table->attention[format], nullptr);
      EXPECT_NE(table->unary[format], nullptr);
      EXPECT_NE(table->add_scaled[format], nullptr);
      EXPECT_NE(table->silu_mul[format], nullptr);
      EXPECT_NE(table->rms_norm[format], nullptr);
      EXPECT_NE(table->silu_mul_gradient[format], nullptr);
      EXPECT_NE(table->rms_norm_gradient[format], nullptr);
      EXPECT_NE(table->layer_norm[format], nullptr);
      EXPECT_NE(table->rope[format], nullptr);
    }
    for (int form = 0; form < kNumPacked; ++form) {
      EXPECT_NE(table->packed[form].quantize, nullptr);
      EXPECT_NE(table->packed[form].linear, nullptr);
      EXPECT_NE(table->packed[form].dequantize, nullptr);
    }
  }
}

TEST(DispatchTest, ScopedKernelsReplaceTheActiveTable) {
  const KernelTable& before = active();
  {
    const ScopedKernels scalar("scalar");
    EXPECT_STREQ(active().name, "scalar");
  }
  EXPECT_EQ(&active(), &before);
}

TEST(DispatchTest, ATableThatTheProcessorLacksIsReplacedAndThatIsSaid) {
  const std::span<const KernelTable* const> old_processor = available().first(1);
  const std::string faster = available().back()->name;
  if (faster == "scalar") GTEST_SKIP() << "this processor has scalar kernels only";
  ::testing::internal::CaptureStderr();
  EXPECT_STREQ(choose_kernels(faster, old_processor).name, "scalar");
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("wanted=" + faster), std::string::npos) << said;
  EXPECT_NE(said.find("used=scalar"), std::string::npos) << said;
}

TEST(DispatchTest, ScalarKernelsAloneAreSaid) {
  ::testing::internal::CaptureStderr();
  EXPECT_STREQ(choose_kernels("", available().first(1)).name, "scalar");
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("kernels_without_vectors"),
            std::string::npos);
}

TEST(DispatchTest, TheBestTableIsChosenWithoutAWord) {
  if (available().size() == 1) GTEST_SKIP() << "this processor has scalar kernels only";
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(&choose_kernels("", available()), available().back());
  EXPECT_STREQ(choose_kernels("scalar", available()).name, "scalar");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(DispatchTest, UnknownTableIsAnErrorThatNamesTheKnownOnes) {
  try {
    const ScopedKernels unknown("mmx");
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(e.what()).find("mmx"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("scalar"), std::string::npos);
  }
}

TEST(DispatchTest, ProcessorIsNamed) {
  EXPECT_FALSE(cpu_name().empty());
  EXPECT_EQ(cpu_name().find('\0'), std::string::npos);
}

}  // namespace
}  // namespace llava::kernels
