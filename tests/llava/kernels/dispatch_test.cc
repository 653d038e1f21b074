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
