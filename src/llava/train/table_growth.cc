// SPDX-License-Identifier: Apache-2.0
#include "llava/train/table_growth.h"

#include <algorithm>
#include <span>
#include <vector>

#include "llava/core/error.h"
#include "llava/train/initial_values.h"

namespace llava::train {
namespace {

std::span<float> row_of(Tensor& table, int64_t row) {
  const auto width = static_cast<std::size_t>(table.dim(1));
  return table.mutable_data<float>().subspan(static_cast<std::size_t>(row) * width, width);
}

// The mean of the rows before `row`, summed in double.
void set_to_mean(Tensor& table, int64_t row) {
  std::vector<double> sums(static_cast<std::size_t>(table.dim(1)), 0.0);
  for (int64_t i = 0; i < row; ++i) {
    const std::span<const float> values = row_of(table, i);
    for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += static_cast<double>(values[k]);
  }
  const std::span<float> mean = row_of(table, row);
  for (std::size_t k = 0; k < sums.size(); ++k) {
    mean[k] = static_cast<float>(sums[k] / static_cast<double>(row));
  }
}

}  // namespace

std::map<std::string, Tensor> grown_tables(const checkpoint::TensorSource& base,
                                           const data::TrainingTokenizer& tokenizer,
                                           double deviation, uint64_t seed) {
  std::map<std::string, Tensor> tables;
  const int32_t num_new = tokenizer.num_new();
  if (num_new == 0) return tables;
  const int64_t size = tokenizer.tokenizer->size();
  const int64_t old_size = size - num_new;
  InitialValues random(seed, InitialStream::kTables);
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    if (!base.tensors().contains(name)) continue;
    const Tensor stored = host_to_float32(base.load(name));
    if (stored.dim(0) < old_size) {
      fail(ErrorCode::kBadFormat,
           "tensor '{}' has {} rows for a tokenizer of {} tokens: tokenizer and weights are not of "
           "the same model",
           name, stored.dim(0), old_size);
    }
    Tensor table = Tensor::empty({size, stored.dim(1)}, DType::kFloat32);
    std::ranges::copy(stored.rows(0, old_size).data<float>(), table.mutable_data<float>().begin());
    int64_t row = old_size;
    for (int32_t i = 0; i < tokenizer.num_pad; ++i) set_to_mean(table, row++);
    for (int32_t i = 0; i < tokenizer.num_patch; ++i) {
      random.fill_normal(row_of(table, row++), deviation);
    }
    // Both have the mean of what was there before either.
    const int64_t first = row;
    if (row < size) set_to_mean(table, row++);
    for (; row < size; ++row) std::ranges::copy(row_of(table, first), row_of(table, row).begin());
    tables.emplace(name, std::move(table));
  }
  return tables;
}

}  // namespace llava::train
