// SPDX-License-Identifier: Apache-2.0
//
// The two losses that bring pictures and their captions together.
#pragma once

#include <ATen/core/Tensor.h>

namespace llava::train {

// Shape letters: N pictures and captions of a batch.

/// The symmetric cross-entropy of CLIP: mean over rows and columns of the softmax. Captions of a
/// batch that are equal are all right for each other's pictures, each for its share
/// (arXiv:2204.03610, equation 2); with distinct captions that is the published loss.
///
/// Shapes: logits [N, N], row per picture; is_pair [N, N], bool -> scalar.   Dtype: float32.
/// Source: arXiv:2103.00020, figure 3.
at::Tensor clip_loss(const at::Tensor& logits_NN, const at::Tensor& is_pair_NN);

/// The pairwise sigmoid loss of SigLIP: sum over all pairs of -log sigmoid(+-logit), divided by N.
/// Equal captions are pairs, as above.
///
/// Shapes, dtype: as clip_loss.   Source: arXiv:2303.15343, algorithm 1.
at::Tensor siglip_loss(const at::Tensor& logits_NN, const at::Tensor& is_pair_NN);

}  // namespace llava::train
