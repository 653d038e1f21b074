// SPDX-License-Identifier: Apache-2.0
//
// The obvious version of every kernel: the reference that the vector versions are tested against,
// and what runs where there is no other.
#include <cmath>
#include <limits>
#include <numbers>

#include "llava/core/float_formats.h"
#include "llava/kernels/tables.h"

namespace llava::kernels::scalar {
namespace {

float get(float x) { return x; }
float get(Float16 x) { return float_from_f16(x.bits); }
float get(BFloat16 x) { return float_from_bf16(x.bits); }
void set(float& out, float x) { out = x; }
void set(Float16& out, float x) { out.bits = f16_from_float(x); }
void set(BFloat16& out, float x) { out.bits = bf16_from_float(x); }

/// x rounded to the format T.
template <class T>
float rounded(float x) {
  T out;
  set(out, x);
  return get(out);
}

float silu(float x) { return x / (1.0f + std::exp(-x)); }

float apply(Unary kind, float x) {
  switch (kind) {
    case kUnaryGelu:
      return static_cast<float>(0.5 * x * std::erfc(-x * std::numbers::sqrt2 / 2));
    case kUnaryGeluTanh:
      return 0.5f * x * (1.0f + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
    case kUnaryQuickGelu:
      return x / (1.0f + std::exp(-1.702f * x));
    case kUnarySilu:
      return silu(x);
    case kUnaryRelu:
      return x < 0.0f ? 0.0f : x;
  }
  return x;
}

template <class T>
void to_float(const void* in, float* out, int64_t count) noexcept {
  for (int64_t i = 0; i < count; ++i) out[i] = get(static_cast<const T*>(in)[i]);
}

template <class T>
void from_float(const float* in, void* out, int64_t count) noexcept {
  for (int64_t i = 0; i < count; ++i) set(static_cast<T*>(out)[i], in[i]);
}

template <class T>
void linear(const LinearArgs& args) noexcept {
  for (int64_t r = 0; r < args.num_rows; ++r) {
    const T* x = static_cast<const T*>(args.x) + r * args.x_stride;
    T* out = static_cast<T*>(args.out) + r * args.out_stride;
    for (int64_t o = args.output_begin; o < args.output_end; ++o) {
      const T* w = static_cast<const T*>(args.weight) + o * args.num_inputs;
      float sum = 0.0f;
      for (int64_t i = 0; i < args.num_inputs; ++i) sum += get(x[i]) * get(w[i]);
      if (args.bias != nullptr) sum += get(static_cast<const T*>(args.bias)[o]);
      set(out[o], sum);
    }
  }
}

/// Softmax over one row's keys with a running maximum, one key at a time.
template <class T>
void attention(const AttentionArgs& args) noexcept {
  const int64_t width = args.head_width;
  float* sums = reinterpret_cast<float*>(args.scratch);
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const int64_t token = row / args.group;
    const int64_t head_offset = row % args.group * width;
    const int64_t position = args.first_position + token;
    const T* q = static_cast<const T*>(args.q) + token * args.q_stride + head_offset;
    T* out = static_cast<T*>(args.out) + token * args.out_stride + head_offset;
    const int64_t end = args.is_causal ? position + 1 : args.num_keys;
    int64_t begin = 0;
    if (args.window > 0 && position + 1 > args.window) begin = position + 1 - args.window;

    float maximum = -std::numeric_limits<float>::infinity();
    float total = 0.0f;
    for (int64_t e = 0; e < width; ++e) sums[e] = 0.0f;
    for (int64_t j = begin; j < end; ++j) {
      const KeyValueRows& cache = args.cache;
      const int64_t offset =
          (cache.pages[j / cache.page_size] * cache.page_size + j % cache.page_size) * cache.stride;
      const T* k = static_cast<const T*>(cache.keys) + offset;
      const T* v = static_cast<const T*>(cache.values) + offset;
      float score = 0.0f;
      for (int64_t e = 0; e < width; ++e) score += get(q[e]) * get(k[e]);
      score *= args.scale;
      const float updated = score > maximum ? score : maximum;
      const float factor = std::exp(maximum - updated);
      const float weight = std::exp(score - updated);
      for (int64_t e = 0; e < width; ++e) sums[e] = sums[e] * factor + weight * get(v[e]);
      total = total * factor + weight;
      maximum = updated;
    }
    for (int64_t e = 0; e < width; ++e) set(out[e], sums[e] / total);
  }
}

template <class T>
void unary(const void* x, void* out, int64_t count, Unary kind) noexcept {
  for (int64_t i = 0; i < count; ++i) {
    set(static_cast<T*>(out)[i], apply(kind, get(static_cast<const T*>(x)[i])));
  }
}

template <class T>
void add_scaled(const void* x, const void* y, float scale, void* out, int64_t count) noexcept {
  for (int64_t i = 0; i < count; ++i) {
    set(static_cast<T*>(out)[i],
        get(static_cast<const T*>(x)[i]) + rounded<T>(scale * get(static_cast<const T*>(y)[i])));
  }
}

template <class T>
void silu_mul(const void* gate, const void* up, void* out, int64_t count) noexcept {
  for (int64_t i = 0; i < count; ++i) {
    set(static_cast<T*>(out)[i],
        rounded<T>(silu(get(static_cast<const T*>(gate)[i]))) * get(static_cast<const T*>(up)[i]));
  }
}

template <class T>
void rms_norm(const void* x, const void* weight, float epsilon, void* out, int64_t num_rows,
              int64_t width) noexcept {
  const T* w = static_cast<const T*>(weight);
  for (int64_t r = 0; r < num_rows; ++r) {
    const T* row = static_cast<const T*>(x) + r * width;
    T* y = static_cast<T*>(out) + r * width;
    float sum = 0.0f;
    for (int64_t i = 0; i < width; ++i) sum += get(row[i]) * get(row[i]);
    const float inverse = 1.0f / std::sqrt(sum / static_cast<float>(width) + epsilon);
    for (int64_t i = 0; i < width; ++i) {
      set(y[i], rounded<T>(get(row[i]) * inverse) * get(w[i]));
    }
  }
}

template <class T>
void layer_norm(const void* x, const void* weight, const void* bias, float epsilon, void* out,
                int64_t num_rows, int64_t width) noexcept {
  const T* w = static_cast<const T*>(weight);
  const T* b = static_cast<const T*>(bias);
  const float count = static_cast<float>(width);
  for (int64_t r = 0; r < num_rows; ++r) {
    const T* row = static_cast<const T*>(x) + r * width;
    T* y = static_cast<T*>(out) + r * width;
    float sum = 0.0f;
    for (int64_t i = 0; i < width; ++i) sum += get(row[i]);
    const float mean = sum / count;
    float squares = 0.0f;
    for (int64_t i = 0; i < width; ++i) squares += (get(row[i]) - mean) * (get(row[i]) - mean);
    const float inverse = 1.0f / std::sqrt(squares / count + epsilon);
    for (int64_t i = 0; i < width; ++i) {
      set(y[i], (get(row[i]) - mean) * inverse * get(w[i]) + get(b[i]));
    }
  }
}

template <class T>
void rope(const void* x, const void* cos, const void* sin, void* out, int64_t num_heads,
          int64_t head_width) noexcept {
  const int64_t half = head_width / 2;
  const T* c = static_cast<const T*>(cos);
  const T* s = static_cast<const T*>(sin);
  for (int64_t h = 0; h < num_heads; ++h) {
    const T* v = static_cast<const T*>(x) + h * head_width;
    T* y = static_cast<T*>(out) + h * head_width;
    for (int64_t i = 0; i < head_width; ++i) {
      const float turned = i < half ? -get(v[i + half]) : get(v[i - half]);
      set(y[i], rounded<T>(get(v[i]) * get(c[i])) + rounded<T>(turned * get(s[i])));
    }
  }
}

}  // namespace

const KernelTable& table() noexcept {
  static constexpr KernelTable kTable = {
      "scalar",
      {to_float<float>, to_float<Float16>, to_float<BFloat16>},
      {from_float<float>, from_float<Float16>, from_float<BFloat16>},
      {linear<float>, linear<Float16>, linear<BFloat16>},
      {attention<float>, attention<Float16>, attention<BFloat16>},
      {unary<float>, unary<Float16>, unary<BFloat16>},
      {add_scaled<float>, add_scaled<Float16>, add_scaled<BFloat16>},
      {silu_mul<float>, silu_mul<Float16>, silu_mul<BFloat16>},
      {rms_norm<float>, rms_norm<Float16>, rms_norm<BFloat16>},
      {layer_norm<float>, layer_norm<Float16>, layer_norm<BFloat16>},
      {rope<float>, rope<Float16>, rope<BFloat16>},
      kPackedKernels};
  return kTable;
}

}  // namespace llava::kernels::scalar
