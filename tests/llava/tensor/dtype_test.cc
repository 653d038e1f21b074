// SPDX-License-Identifier: Apache-2.0
#include "llava/tensor/dtype.h"

#include <gtest/gtest.h>

namespace llava {
namespace {

constexpr DType kAll[] = {DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kFloat64,
                          DType::kInt64,   DType::kInt32,   DType::kInt16,    DType::kInt8,
                          DType::kUInt8,   DType::kBool};
constexpr DType kPacked[] = {DType::kPackedQ4, DType::kPackedQ4Min, DType::kPackedQ8,
                             DType::kPackedQ8Min, DType::kPackedQ8Half};

TEST(DTypeTest, NamesLeadBack) {
  for (const DType dtype : kAll) {
    EXPECT_EQ(dtype_from_name(dtype_name(dtype)), dtype);
    EXPECT_EQ(dtype_from_name("torch." + std::string(dtype_name(dtype))), dtype);
  }
}

TEST(DTypeTest, NamesOfTheField) {
  EXPECT_EQ(dtype_from_name("bf16"), DType::kBFloat16);
  EXPECT_EQ(dtype_from_name("BF16"), DType::kBFloat16);
  EXPECT_EQ(dtype_from_name("fp16"), DType::kFloat16);
  EXPECT_EQ(dtype_from_name("half"), DType::kFloat16);
  EXPECT_EQ(dtype_from_name("torch.float16"), DType::kFloat16);
  EXPECT_EQ(dtype_from_name("F32"), DType::kFloat32);
  EXPECT_EQ(dtype_from_name("I64"), DType::kInt64);
  for (const char* name : {"", "torch.", "float8", "FLOAT32", "torch.torch.float32", "auto"}) {
    EXPECT_EQ(dtype_from_name(name), std::nullopt) << name;
  }
}

TEST(DTypeTest, Sizes) {
  int64_t total = 0;
  for (const DType dtype : kAll) total += item_size(dtype);
  EXPECT_EQ(total, 4 + 2 + 2 + 8 + 8 + 4 + 2 + 1 + 1 + 1);
  EXPECT_EQ(item_size(DType::kBFloat16), 2);
  EXPECT_EQ(item_size(DType::kBool), 1);
}

TEST(DTypeTest, ModelsComputeInThreeTypes) {
  int count = 0;
  for (const DType dtype : kAll) count += is_compute_dtype(dtype);
  EXPECT_EQ(count, 3);
  EXPECT_TRUE(is_compute_dtype(DType::kBFloat16));
  EXPECT_FALSE(is_compute_dtype(DType::kFloat64));
}

TEST(DTypeTest, PackedFormsHaveNamesButNoItems) {
  for (const DType dtype : kAll) EXPECT_FALSE(is_packed(dtype));
  for (const DType dtype : kPacked) {
    EXPECT_TRUE(is_packed(dtype));
    EXPECT_FALSE(is_compute_dtype(dtype));
    EXPECT_EQ(item_size(dtype), 0);
    EXPECT_EQ(dtype_from_name(dtype_name(dtype)), dtype);
  }
  EXPECT_EQ(dtype_from_name("q4_min"), DType::kPackedQ4Min);
}

}  // namespace
}  // namespace llava
