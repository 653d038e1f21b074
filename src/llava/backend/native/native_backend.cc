// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/native/native_backend.h"

#include "llava/core/check.h"

namespace llava::native {

kernels::Format format_of(DType dtype) {
  LLAVA_CHECK(is_compute_dtype(dtype), "dtype {}", dtype_name(dtype));
  switch (dtype) {
    case DType::kFloat16:
      return kernels::kFormatF16;
    case DType::kBFloat16:
      return kernels::kFormatBF16;
    default:
      return kernels::kFormatF32;
  }
}

kernels::Packed packed_form_of(DType dtype) {
  switch (dtype) {
    case DType::kPackedQ4:
      return kernels::kPackedQ4;
    case DType::kPackedQ4Min:
      return kernels::kPackedQ4Min;
    case DType::kPackedQ8:
      return kernels::kPackedQ8;
    case DType::kPackedQ8Min:
      return kernels::kPackedQ8Min;
    case DType::kPackedQ8Half:
      return kernels::kPackedQ8Half;
    default:
      fail(ErrorCode::kInternal, "{} is no packed form", dtype_name(dtype));
  }
}

std::unique_ptr<Backend> make_native_backend(ThreadPool& pool) {
  return std::make_unique<NativeBackend>(pool);
}

}  // namespace llava::native
