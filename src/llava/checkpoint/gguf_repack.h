// SPDX-License-Identifier: Apache-2.0
//
// The block formats of GGUF straight into the packed forms of tensor/packed.h, without widening
// them to floats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "llava/checkpoint/gguf_dequantize.h"
#include "llava/core/thread_pool.h"
#include "llava/tensor/tensor.h"

namespace llava::checkpoint {

/// The packed form that holds a block format; nothing for the plain types.
///
/// Q4_0 -> q4, Q4_1 -> q4_min, Q5_0 and Q8_0 -> q8, Q5_1 -> q8_min: the very weights of the file.
/// Q4_K -> q4_min, Q5_K -> q8_min, Q6_K -> q8_half: the product of a block's and a group's scale
/// (and minimum) is rounded to float16.
std::optional<DType> repacked_form(GgufType type) noexcept;

/// Repacks a matrix [O, I] of a block format. Output o is row source_rows[o] of `blocks`, or row o
/// where `source_rows` is empty.
///
/// Throws: Error(kInternal) when type, shape and sizes do not fit.   Threads: runs on `pool`.
Tensor repack_gguf(ThreadPool& pool, GgufType type, std::span<const std::byte> blocks, Shape shape,
                   std::span<const int64_t> source_rows = {});

}  // namespace llava::checkpoint
