// SPDX-License-Identifier: Apache-2.0
//
// The batches of a contrastive stage: pixels, and which caption belongs to which.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "llava/core/thread_pool.h"
#include "llava/data/augmentation.h"
#include "llava/data/captioned_pictures.h"
#include "llava/tensor/tensor.h"

namespace llava::train {

// Shape letters: N pictures, M distinct captions, E width of the language model, V vocabulary.

/// What is trained on at once.
struct ContrastiveBatch {
  Tensor pixels_NCSS;             ///< host, float32
  std::vector<int32_t> captions;  ///< of each picture: position in pictures.captions()
  std::vector<int64_t> samples;
};

/// How its pictures are changed.
struct BatchAugmentation {
  data::Augmentation augmentation;
  uint64_t seed = 0;
  int64_t epoch = 0;
};

/// Reads and changes the pictures of `samples`, in the pool's threads.
///
/// Throws: as CaptionedPictures::pixels.
ContrastiveBatch make_contrastive_batch(const data::CaptionedPictures& pictures,
                                        std::span<const int64_t> samples,
                                        const BatchAugmentation& augmentation, ThreadPool& pool);

/// Which caption is right for which picture, captions that are equal being one: [N, N], bool.
at::Tensor pairs_of(std::span<const int32_t> captions);

/// The mean embedding of every distinct caption. Shapes: table [V, E] -> [M, E].   Dtype: float32.
///
/// Throws: Error(kBadFormat) for a token that the table has no row of.
at::Tensor caption_means(const data::CaptionedPictures& pictures, const Tensor& table_VE);

}  // namespace llava::train
