// SPDX-License-Identifier: Apache-2.0
//
// Operations that treat every element alike: casts, sums, activations; and the rotary embedding.
#include <algorithm>
#include <array>

#include "llava/backend/native/native_backend.h"
#include "llava/kernels/dispatch.h"

namespace llava::native {
namespace {

/// Fewer elements than this are not worth another thread.
constexpr int64_t kMinElements = 16384;

kernels::Unary unary_of(Activation kind) {
  switch (kind) {
    case Activation::kGelu:
      return kernels::kUnaryGelu;
    case Activation::kGeluTanh:
      return kernels::kUnaryGeluTanh;
    case Activation::kQuickGelu:
      return kernels::kUnaryQuickGelu;
    case Activation::kSilu:
      return kernels::kUnarySilu;
    case Activation::kRelu:
      break;
  }
  return kernels::kUnaryRelu;
}

}  // namespace

Tensor NativeBackend::cast(const Tensor& x, DType dtype) {
  Tensor out = Tensor::empty(x.shape(), dtype);
  const kernels::ToFloatFn to_float = kernels::active().to_float[format_of(x.dtype())];
  const kernels::FromFloatFn from_float = kernels::active().from_float[format_of(dtype)];
  const std::byte* source = x.bytes().data();
  std::byte* target = out.mutable_bytes().data();
  const int64_t source_size = item_size(x.dtype());
  const int64_t target_size = item_size(dtype);
  pool_.run_ranges(x.numel(), kMinElements, [&](int64_t begin, int64_t end) {
    std::array<float, 1024> chunk;
    for (int64_t i = begin; i < end; i += 1024) {
      const int64_t count = std::min<int64_t>(1024, end - i);
      to_float(source + i * source_size, chunk.data(), count);
      from_float(chunk.data(), target + i * target_size, count);
    }
  });
  return out;
}

Tensor NativeBackend::add_scaled(const Tensor& x, const Tensor& y, float scale) {
  Tensor out = results_.empty(x.shape(), x.dtype());
  const kernels::AddScaledFn kernel = kernels::active().add_scaled[format_of(x.dtype())];
  const std::byte* a = x.bytes().data();
  const std::byte* b = y.bytes().data();
  std::byte* sum = out.mutable_bytes().data();
  const int64_t item = item_size(x.dtype());
  pool_.run_ranges(x.numel(), kMinElements, [&](int64_t begin, int64_t end) {
    kernel(a + begin * item, b + begin * item, scale, sum + begin * item, end - begin);
  });
  return out;
}

Tensor NativeBackend::activation(const Tensor& x, Activation kind) {
  Tensor out = results_.empty(x.shape(), x.dtype());
  const kernels::UnaryFn kernel = kernels::active().unary[format_of(x.dtype())];
  const kernels::Unary unary = unary_of(kind);
  const std::byte* source = x.bytes().data();
  std::byte* target = out.mutable_bytes().data();
  const int64_t item = item_size(x.dtype());
  pool_.run_ranges(x.numel(), kMinElements, [&](int64_t begin, int64_t end) {
    kernel(source + begin * item, target + begin * item, end - begin, unary);
  });
  return out;
}

Tensor NativeBackend::silu_mul(const Tensor& gate, const Tensor& up) {
  Tensor out = results_.empty(gate.shape(), gate.dtype());
  const kernels::SiluMulFn kernel = kernels::active().silu_mul[format_of(gate.dtype())];
  const std::byte* a = gate.bytes().data();
  const std::byte* b = up.bytes().data();
  std::byte* product = out.mutable_bytes().data();
  const int64_t item = item_size(gate.dtype());
  pool_.run_ranges(gate.numel(), kMinElements, [&](int64_t begin, int64_t end) {
    kernel(a + begin * item, b + begin * item, product + begin * item, end - begin);
  });
  return out;
}

Tensor NativeBackend::rope(const Tensor& x_THE, const Tensor& cos_TE, const Tensor& sin_TE) {
  Tensor out = results_.empty(x_THE.shape(), x_THE.dtype());
  const kernels::RopeFn kernel = kernels::active().rope[format_of(x_THE.dtype())];
  const std::byte* x = x_THE.bytes().data();
  const std::byte* cosines = cos_TE.bytes().data();
  const std::byte* sines = sin_TE.bytes().data();
  std::byte* turned = out.mutable_bytes().data();
  const int64_t num_heads = x_THE.dim(1);
  const int64_t head_width = x_THE.dim(2);
  const int64_t item = item_size(x_THE.dtype());
  const int64_t token_bytes = num_heads * head_width * item;
  const int64_t min_tokens = kMinElements / std::max<int64_t>(1, num_heads * head_width);
  pool_.run_ranges(x_THE.dim(0), min_tokens, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernel(x + t * token_bytes, cosines + t * head_width * item, sines + t * head_width * item,
             turned + t * token_bytes, num_heads, head_width);
    }
  });
  return out;
}

}  // namespace llava::native
