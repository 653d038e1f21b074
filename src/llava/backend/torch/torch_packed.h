// SPDX-License-Identifier: Apache-2.0
//
// Packed weight matrices (tensor/packed.h) on LibTorch: their bytes lie on the device as they are
// stored, and a use of them widens one matrix to float32 for as long as it runs.
#pragma once

#include <ATen/core/Tensor.h>

#include "llava/tensor/tensor.h"

namespace llava {

/// The bytes of a packed matrix as uint8, on its device; host memory is wrapped without a copy.
at::Tensor packed_bytes_at(const Tensor& packed_OI);
/// The matrix on another device.
Tensor packed_to_device(const Tensor& packed_OI, at::Device device);

/// Weights [rows, I] in float32 of the outputs `rows` (int64, on the matrix's device), or of all.
at::Tensor dequantize_at(const Tensor& packed_OI);
at::Tensor dequantize_rows_at(const Tensor& packed_OI, const at::Tensor& rows);

/// x [T, I] in float32, rounded as linear rounds activations before a weight of this form.
at::Tensor quantized_activations(const at::Tensor& x_TI, DType form);

}  // namespace llava
