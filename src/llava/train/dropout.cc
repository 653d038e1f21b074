// SPDX-License-Identifier: Apache-2.0
#include "llava/train/dropout.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>

#include "llava/core/random.h"

namespace llava::train {
namespace {

constexpr int64_t kWords = 4;
constexpr int64_t kGrain = 8192;

}  // namespace

at::Tensor dropout(const at::Tensor& x, double p, const DropoutKey& key) {
  if (p <= 0.0) return x;
  const auto threshold = static_cast<uint32_t>(p * 4294967296.0);
  const auto scale = static_cast<float>(1.0 / (1.0 - p));
  at::Tensor mask = at::empty(x.sizes(), at::TensorOptions().dtype(at::kFloat));
  auto* const values = mask.mutable_data_ptr<float>();
  const int64_t count = mask.numel();
  const std::array<uint32_t, 2> seed{static_cast<uint32_t>(key.seed),
                                     static_cast<uint32_t>(key.seed >> 32)};
  at::parallel_for(0, (count + kWords - 1) / kWords, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const auto words = philox4x32({static_cast<uint32_t>(block),
                                     static_cast<uint32_t>(block >> 32), key.micro_step, key.place},
                                    seed);
      const int64_t first = block * kWords;
      for (int64_t i = 0; i < std::min(kWords, count - first); ++i) {
        values[first + i] = words[static_cast<std::size_t>(i)] < threshold ? 0.0f : scale;
      }
    }
  });
  return x * mask.to(x.options());
}

}  // namespace llava::train
