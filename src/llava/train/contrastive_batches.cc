// SPDX-License-Identifier: Apache-2.0
#include "llava/train/contrastive_batches.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstddef>

#include "llava/core/error.h"

namespace llava::train {

ContrastiveBatch make_contrastive_batch(const data::CaptionedPictures& pictures,
                                        std::span<const int64_t> samples,
                                        const BatchAugmentation& augmentation, ThreadPool& pool) {
  ContrastiveBatch batch;
  batch.samples.assign(samples.begin(), samples.end());
  for (const int64_t sample : samples) batch.captions.push_back(pictures.caption_of(sample));
  std::vector<image::PixelValues> views(samples.size());
  pool.run(static_cast<int64_t>(samples.size()), [&](int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    views[at] = pictures.pixels(samples[at]);
    apply(
        draw_change(augmentation.augmentation, augmentation.seed, augmentation.epoch, samples[at]),
        views[at]);
  });
  const image::PixelValues& first = views.front();
  batch.pixels_NCSS =
      Tensor::empty({static_cast<int64_t>(views.size()), first.channels, first.height, first.width},
                    DType::kFloat32);
  auto target = batch.pixels_NCSS.mutable_data<float>().begin();
  for (const image::PixelValues& view : views) {
    target = std::ranges::copy(view.values, target).out;
  }
  return batch;
}

at::Tensor pairs_of(std::span<const int32_t> captions) {
  const auto size = static_cast<int64_t>(captions.size());
  at::Tensor pairs = at::empty({size, size}, at::TensorOptions().dtype(at::kBool));
  bool* target = pairs.data_ptr<bool>();
  for (const int32_t picture : captions) {
    for (const int32_t caption : captions) *target++ = picture == caption;
  }
  return pairs;
}

at::Tensor caption_means(const data::CaptionedPictures& pictures, const Tensor& table_VE) {
  const std::span<const float> table = table_VE.data<float>();
  const int64_t width = table_VE.dim(1);
  const auto& captions = pictures.captions();
  at::Tensor means = at::empty({static_cast<int64_t>(captions.size()), width},
                               at::TensorOptions().dtype(at::kFloat));
  float* target = means.data_ptr<float>();
  for (const std::vector<int32_t>& ids : captions) {
    std::vector<double> sum(static_cast<std::size_t>(width), 0.0);
    for (const int32_t id : ids) {
      if (id < 0 || id >= table_VE.dim(0)) {
        fail(ErrorCode::kBadFormat,
             "the tokenizer has a token {}, the embedding table {} rows: they are not of the same "
             "model",
             id, table_VE.dim(0));
      }
      const std::span<const float> row =
          table.subspan(static_cast<std::size_t>(id * width), static_cast<std::size_t>(width));
      for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += static_cast<double>(row[k]);
    }
    for (const double value : sum) {
      *target++ = static_cast<float>(value / static_cast<double>(ids.size()));
    }
  }
  return means;
}

}  // namespace llava::train
