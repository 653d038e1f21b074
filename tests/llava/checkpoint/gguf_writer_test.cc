// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/gguf_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "llava/checkpoint/expect_error.h"
#include "llava/checkpoint/gguf.h"
#include "llava/checkpoint/gguf_repack.h"
#include "llava/checkpoint/quantize_weights.h"
#include "llava/tensor/packed.h"
#include "support/temporary_folder.h"

namespace llava::checkpoint {
namespace {

using llava::testing::expect_error;
using GgufWriterTest = llava::testing::TemporaryFolder;

Tensor matrix(int64_t rows, int64_t columns) {
  std::vector<float> values(static_cast<std::size_t>(rows * columns));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i * 7919 % 1000) / 500.0f - 1.0f;
  }
  return Tensor::from_floats({rows, columns}, values);
}

// Blocks hold the very weights of a packed form, so that packing them again gives its bytes.
TEST_F(GgufWriterTest, BlocksArePackedFormsAgain) {
  ThreadPool pool(1);
  const std::vector<std::pair<DType, GgufType>> forms = {{DType::kPackedQ4, GgufType::kQ4_0},
                                                         {DType::kPackedQ4Min, GgufType::kQ4_1},
                                                         {DType::kPackedQ8, GgufType::kQ8_0}};
  const std::vector<int64_t> rows = {4, 2, 0, 1, 3};
  for (const auto& [form, type] : forms) {
    const Tensor packed = quantize_matrix(pool, matrix(5, 64), form).weight;
    ASSERT_EQ(gguf_type_of(form, packed.shape()), type);
    const std::string blocks = to_gguf(packed, type);
    const Tensor again = repack_gguf(pool, type, std::as_bytes(std::span(blocks)), packed.shape());
    EXPECT_TRUE(std::ranges::equal(again.bytes(), packed.bytes())) << dtype_name(form);
    const std::string moved = to_gguf(packed, type, rows);
    std::vector<float> found(64), expected(64);
    const Tensor shuffled =
        repack_gguf(pool, type, std::as_bytes(std::span(moved)), packed.shape());
    for (int64_t row = 0; row < 5; ++row) {
      dequantize_row(shuffled, row, found);
      dequantize_row(packed, rows[static_cast<std::size_t>(row)], expected);
      EXPECT_EQ(found, expected) << row;
    }
  }
  // Rows that fill up no block.
  EXPECT_EQ(gguf_type_of(DType::kPackedQ4, {5, 70}), GgufType::kF16);
  EXPECT_EQ(
      to_gguf(quantize_matrix(pool, matrix(5, 70), DType::kPackedQ4).weight, GgufType::kF16).size(),
      5u * 70 * 2);
}

TEST_F(GgufWriterTest, IsReadAsItWasWritten) {
  GgufMetadata metadata;
  metadata.add("general.architecture", std::string_view("test"));
  metadata.add("a.number", uint32_t{7});
  metadata.add("a.float", 0.5f);
  metadata.add("a.flag", true);
  const std::vector<std::string> words = {"one", "", "three"};
  metadata.add("a.words", words);
  metadata.add("a.floats", std::array<float, 2>{1.5f, 2.5f});
  metadata.add("a.numbers", std::array<int32_t, 2>{3, -4});
  const Tensor half = host_cast(matrix(3, 5), DType::kFloat16);
  const Tensor vector = Tensor::from_floats({3}, std::vector<float>{1, 2, 3});
  GgufWriter writer(folder_ / "x.gguf", metadata,
                    {{"half", {3, 5}, GgufType::kF16}, {"vector", {3}, GgufType::kF32}});
  writer.write(to_gguf(half, GgufType::kF16));
  expect_error(ErrorCode::kInternal, {}, [&] { writer.write("too short"); });
  writer.write(to_gguf(vector, GgufType::kF32));
  writer.finish();
  EXPECT_EQ(std::filesystem::file_size(folder_ / "x.gguf"), writer.file_bytes());

  const auto file = GgufFile::open(folder_ / "x.gguf");
  EXPECT_EQ(file->get_string("general.architecture"), "test");
  EXPECT_EQ(file->get_int("a.number"), 7);
  EXPECT_EQ(file->get_number("a.float"), 0.5);
  EXPECT_EQ(file->get_bool("a.flag"), true);
  EXPECT_EQ(file->get_string_list("a.words"), words);
  EXPECT_EQ(file->get_float_list("a.floats"), (std::vector<float>{1.5f, 2.5f}));
  EXPECT_EQ(file->get_int_list("a.numbers"), (std::vector<int64_t>{3, -4}));
  EXPECT_EQ(file->tensors().at("half").shape, (Shape{3, 5}));
  EXPECT_TRUE(std::ranges::equal(file->load("half").bytes(), half.bytes()));
  EXPECT_TRUE(std::ranges::equal(file->load("vector").bytes(), vector.bytes()));

  const std::string metadata_only = file->without_tensors();
  write("y.gguf", metadata_only);
  const auto other = GgufFile::open(folder_ / "y.gguf");
  EXPECT_TRUE(other->tensors().empty());
  EXPECT_EQ(other->get_string_list("a.words"), words);
}

TEST_F(GgufWriterTest, RefusesWhatItCannotWrite) {
  expect_error(ErrorCode::kNotFound, {"nowhere"},
               [&] { GgufWriter(folder_ / "nowhere" / "x", {}, {}); });
  expect_error(ErrorCode::kResourceExhausted, {"/dev/full"}, [&] {
    GgufWriter writer("/dev/full", {}, {{"a", {1 << 16}, GgufType::kF32}});
    writer.write(std::string(std::size_t{4} << 16, 'x'));
    writer.finish();
  });
}

}  // namespace
}  // namespace llava::checkpoint
