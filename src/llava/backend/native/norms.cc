// SPDX-License-Identifier: Apache-2.0
//
// RMSNorm and LayerNorm: rows are independent and split over the threads.
#include <algorithm>

#include "llava/backend/native/native_backend.h"
#include "llava/kernels/dispatch.h"

namespace llava::native {
namespace {

int64_t min_rows(int64_t width) {
  constexpr int64_t kMinElements = 16384;
  return kMinElements / std::max<int64_t>(1, width);
}

}  // namespace

Tensor NativeBackend::rms_norm(const Tensor& x, const Tensor& weight, float epsilon) {
  Tensor out = Tensor::empty(x.shape(), x.dtype());
  const kernels::RmsNormFn kernel = kernels::active().rms_norm[format_of(x.dtype())];
  const std::byte* source = x.bytes().data();
  const std::byte* scale = weight.bytes().data();
  std::byte* target = out.mutable_bytes().data();
  const int64_t width = x.dim(-1);
  const int64_t row_bytes = width * item_size(x.dtype());
  const int64_t num_rows = x.numel() / std::max<int64_t>(1, width);
  pool_.run_ranges(num_rows, min_rows(width), [&](int64_t begin, int64_t end) {
    kernel(source + begin * row_bytes, scale, epsilon, target + begin * row_bytes, end - begin,
           width);
  });
  return out;
}

Tensor NativeBackend::layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                 float epsilon) {
  Tensor out = Tensor::empty(x.shape(), x.dtype());
  const kernels::LayerNormFn kernel = kernels::active().layer_norm[format_of(x.dtype())];
  const std::byte* source = x.bytes().data();
  const std::byte* scale = weight.bytes().data();
  const std::byte* offset = bias.bytes().data();
  std::byte* target = out.mutable_bytes().data();
  const int64_t width = x.dim(-1);
  const int64_t row_bytes = width * item_size(x.dtype());
  const int64_t num_rows = x.numel() / std::max<int64_t>(1, width);
  pool_.run_ranges(num_rows, min_rows(width), [&](int64_t begin, int64_t end) {
    kernel(source + begin * row_bytes, scale, offset, epsilon, target + begin * row_bytes,
           end - begin, width);
  });
  return out;
}

}  // namespace llava::native
