// SPDX-License-Identifier: Apache-2.0
#include "llava/train/table_growth.h"

#include <gtest/gtest.h>

#include <cmath>

#include "llava/checkpoint/resized_table.h"
#include "llava/core/error.h"

namespace llava::train {
namespace {

// A tokenizer of which only the size matters.
class SizedTokenizer final : public text::Tokenizer {
 public:
  explicit SizedTokenizer(int32_t size) : size_(size) {}
  std::vector<int32_t> encode(std::string_view, bool) const override { return {}; }
  std::string decode(std::span<const int32_t>, bool) const override { return {}; }
  int32_t size() const override { return size_; }
  std::optional<int32_t> id_of(std::string_view) const override { return std::nullopt; }
  std::string token_text(int32_t) const override { return {}; }
  bool is_special(int32_t) const override { return false; }
  std::optional<int32_t> bos_id() const override { return std::nullopt; }
  std::optional<int32_t> eos_id() const override { return std::nullopt; }
  std::optional<int32_t> pad_id() const override { return std::nullopt; }
  std::string named_token(std::string_view) const override { return {}; }
  bool adds_bos() const override { return false; }
  int32_t add_special_token(std::string_view) override { return 0; }

 private:
  int32_t size_;
};

std::shared_ptr<const checkpoint::TensorSource> base_of(int64_t rows) {
  Tensor table = Tensor::empty({rows, 2}, DType::kFloat32);
  for (int64_t i = 0; i < 2 * rows; ++i) {
    table.mutable_data<float>()[static_cast<std::size_t>(i)] = static_cast<float>(i);
  }
  return checkpoint::source_of_tensors({{"model.embed_tokens.weight", table}}, "base");
}

data::TrainingTokenizer tokenizer_of(int32_t size, int32_t pad, int32_t patch, int32_t start_end) {
  data::TrainingTokenizer tokenizer;
  tokenizer.tokenizer = std::make_unique<SizedTokenizer>(size);
  tokenizer.num_pad = pad;
  tokenizer.num_patch = patch;
  tokenizer.num_start_end = start_end;
  return tokenizer;
}

TEST(TableGrowthTest, NothingNewLeavesTheTables) {
  EXPECT_TRUE(grown_tables(*base_of(3), tokenizer_of(3, 0, 0, 0), 0.02, 1).empty());
}

TEST(TableGrowthTest, NewRowsStartAsPublished) {
  // Three rows (0 1) (2 3) (4 5) and one in spare; then [PAD], <im_patch>, <im_start>, <im_end>.
  const auto tables = grown_tables(*base_of(4), tokenizer_of(7, 1, 1, 2), 0.02, 1);
  ASSERT_EQ(tables.size(), 1u);
  const Tensor& table = tables.at("model.embed_tokens.weight");
  EXPECT_EQ(table.shape(), (Shape{7, 2}));
  const auto value = [&](std::size_t row, std::size_t column) {
    return table.data<float>()[2 * row + column];
  };
  EXPECT_EQ(value(2, 1), 5.0f);
  EXPECT_EQ(value(3, 0), 2.0f);  // the mean
  EXPECT_EQ(value(3, 1), 3.0f);
  EXPECT_NE(value(4, 0), 0.0f);
  EXPECT_LT(std::abs(value(4, 0)), 0.2f);
  const float mean = (0.0f + 2.0f + 4.0f + value(3, 0) + value(4, 0)) / 5.0f;
  EXPECT_NEAR(value(5, 0), mean, 1e-6);
  EXPECT_EQ(value(6, 0), value(5, 0));
}

TEST(TableGrowthTest, ATableThatIsTooShortIsRefused) {
  EXPECT_THROW(grown_tables(*base_of(2), tokenizer_of(4, 1, 0, 0), 0.02, 1), Error);
}

}  // namespace
}  // namespace llava::train
