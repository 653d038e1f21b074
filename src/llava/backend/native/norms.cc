// SPDX-License-Identifier: Apache-2.0
//
// RMSNorm and LayerNorm: rows are independent and split over the threads.
#include <algorithm>

#include "llava/backend/native/native_backend.h"
#include "llava/kernels/dispatch.h"

namespace llava::native {
namespace {

// Calls normalize(rows, their results, number of rows) for parts of x, split over the threads.
template <class Normalize>
Tensor map_rows(ThreadPool& pool, ResultPool& memory, const Tensor& x, const Normalize& normalize) {
  Tensor out = memory.empty(x.shape(), x.dtype());
  const std::byte* source = x.bytes().data();
  std::byte* target = out.mutable_bytes().data();
  const int64_t width = std::max<int64_t>(1, x.dim(-1));
  const int64_t row_bytes = width * item_size(x.dtype());
  constexpr int64_t kMinElements = 16384;
  pool.run_ranges(x.numel() / width, kMinElements / width, [&](int64_t begin, int64_t end) {
    normalize(source + begin * row_bytes, target + begin * row_bytes, end - begin);
  });
  return out;
}

}  // namespace

Tensor NativeBackend::rms_norm(const Tensor& x, const Tensor& weight, float epsilon) {
  const kernels::RmsNormFn kernel = kernels::active().rms_norm[format_of(x.dtype())];
  const std::byte* scale = weight.bytes().data();
  return map_rows(pool_, results_, x,
                  [&](const std::byte* rows, std::byte* results, int64_t num_rows) {
                    kernel(rows, scale, epsilon, results, num_rows, x.dim(-1));
                  });
}

Tensor NativeBackend::layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                 float epsilon) {
  const kernels::LayerNormFn kernel = kernels::active().layer_norm[format_of(x.dtype())];
  const std::byte* scale = weight.bytes().data();
  const std::byte* offset = bias.bytes().data();
  return map_rows(pool_, results_, x,
                  [&](const std::byte* rows, std::byte* results, int64_t num_rows) {
                    kernel(rows, scale, offset, epsilon, results, num_rows, x.dim(-1));
                  });
}

}  // namespace llava::native
