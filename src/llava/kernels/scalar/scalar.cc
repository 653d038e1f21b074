// SPDX-License-Identifier: Apache-2.0
//
// The obvious version of every kernel: the reference that the vector versions are tested against,
// and what runs where there is no other.
#include <algorithm>
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
float get(int8_t x) { return static_cast<float>(x); }
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

/// What a row's keys so far come to.
struct RowSum {
  float maximum = -std::numeric_limits<float>::infinity();
  float total = 0.0f;

  /// Adds numbers with a maximum of their own.
  void add(float other_maximum, float other_total, float* sums, const float* other_sums,
           int64_t width) {
    const float updated = other_maximum > maximum ? other_maximum : maximum;
    const float factor = std::exp(maximum - updated);
    const float other_factor = std::exp(other_maximum - updated);
    for (int64_t e = 0; e < width; ++e) {
      sums[e] = sums[e] * factor + other_sums[e] * other_factor;
    }
    total = total * factor + other_total * other_factor;
    maximum = updated;
  }
};

/// Keys [begin, end) that a row sees.
struct Keys {
  int64_t begin;
  int64_t end;
  Keys(const AttentionArgs& args, int64_t row) {
    const int64_t position = args.first_position + row / args.group;
    begin = args.window > 0 ? std::max<int64_t>(0, position + 1 - args.window) : 0;
    end = args.is_causal ? position + 1 : args.num_keys;
  }
  /// The part of them in a piece.
  Keys(const AttentionArgs& args, int64_t row, int64_t piece) : Keys(args, row) {
    begin = std::max(begin, piece * kAttentionPiece);
    end = std::min(end, (piece + 1) * kAttentionPiece);
  }
};

/// First element of the query of a row and key head, or of its result.
int64_t row_offset(const AttentionArgs& args, int64_t head, int64_t row, int64_t stride) {
  return row / args.group * stride + (head * args.group + row % args.group) * args.head_width;
}

/// Softmax over a row's keys [begin, end) with a running maximum, one key at a time.
template <class Query, class T>
RowSum attend(const AttentionArgs& args, int64_t head, int64_t row, const Keys& keys, float* sums) {
  const KeyValueRows& cache = args.cache;
  const int64_t width = args.head_width;
  const Query* q = static_cast<const Query*>(args.q) + row_offset(args, head, row, args.q_stride);
  RowSum sum;
  std::fill(sums, sums + width, 0.0f);
  for (int64_t j = keys.begin; j < keys.end; ++j) {
    const int64_t at = cache.pages[j / cache.page_size] * cache.page_size + j % cache.page_size;
    const T* k = static_cast<const T*>(cache.keys) + at * cache.stride + head * width;
    const T* v = static_cast<const T*>(cache.values) + at * cache.stride + head * width;
    float score = 0.0f;
    for (int64_t e = 0; e < width; ++e) score += get(q[e]) * get(k[e]);
    float value_scale = 1.0f;
    if (cache.key_scales != nullptr) {
      score *= cache.key_scales[at * cache.scale_stride + head];
      value_scale = cache.value_scales[at * cache.scale_stride + head];
    }
    score *= args.scale;
    const float updated = score > sum.maximum ? score : sum.maximum;
    const float factor = std::exp(sum.maximum - updated);
    const float weight = std::exp(score - updated);
    for (int64_t e = 0; e < width; ++e) {
      sums[e] = sums[e] * factor + weight * value_scale * get(v[e]);
    }
    sum.total = sum.total * factor + weight;
    sum.maximum = updated;
  }
  return sum;
}

template <class Query>
void finish(const AttentionArgs& args, int64_t head, int64_t row, float total, const float* sums) {
  Query* out = static_cast<Query*>(args.out) + row_offset(args, head, row, args.out_stride);
  for (int64_t e = 0; e < args.head_width; ++e) set(out[e], sums[e] / total);
}

float* partial_of(const AttentionArgs& args, int64_t head, int64_t row) {
  const int64_t at = head * (args.row_end - args.row_begin) + row - args.row_begin;
  return args.partials + at * attention_partial_floats(args.head_width);
}

template <class Query, class T>
void attend_row(const AttentionArgs& args, int64_t head, int64_t row) {
  const int64_t width = args.head_width;
  if (args.partials != nullptr) {
    float* partial = partial_of(args, head, row);
    const Keys keys(args, row, args.piece_begin);
    if (keys.begin >= keys.end) return;
    const RowSum sum = attend<Query, T>(args, head, row, keys, partial + kAttentionPartialHeader);
    partial[0] = sum.maximum;
    partial[1] = sum.total;
    return;
  }
  float* sums = reinterpret_cast<float*>(args.scratch);
  float* piece_sums = sums + width;
  const Keys all(args, row);
  RowSum sum;
  std::fill(sums, sums + width, 0.0f);
  for (int64_t piece = all.begin / kAttentionPiece; piece * kAttentionPiece < all.end; ++piece) {
    const RowSum part = attend<Query, T>(args, head, row, Keys(args, row, piece), piece_sums);
    sum.add(part.maximum, part.total, sums, piece_sums, width);
  }
  finish<Query>(args, head, row, sum.total, sums);
}

template <class Query, class T>
void attention(const AttentionArgs& args) noexcept {
  for (int64_t head = 0; head < args.num_key_heads; ++head) {
    for (int64_t row = args.row_begin; row < args.row_end; ++row) {
      attend_row<Query, T>(args, head, row);
    }
  }
}

template <class Query>
void merge_row(const AttentionArgs& args, int64_t head, int64_t row) {
  float* sums = reinterpret_cast<float*>(args.scratch);
  const float* partial = partial_of(args, head, row);
  RowSum sum;
  std::fill(sums, sums + args.head_width, 0.0f);
  for (int64_t piece = args.piece_begin; piece < args.piece_end; ++piece) {
    const Keys keys(args, row, piece);
    if (keys.begin < keys.end) {
      sum.add(partial[0], partial[1], sums, partial + kAttentionPartialHeader, args.head_width);
    }
    partial += args.partial_stride;
  }
  finish<Query>(args, head, row, sum.total, sums);
}

template <class Query>
void attention_merge(const AttentionArgs& args) noexcept {
  for (int64_t head = 0; head < args.num_key_heads; ++head) {
    for (int64_t row = args.row_begin; row < args.row_end; ++row) merge_row<Query>(args, head, row);
  }
}

void quantize_rows(const float* x, int8_t* out, float* scales, int64_t num_rows,
                   int64_t width) noexcept {
  for (int64_t r = 0; r < num_rows; ++r, x += width, out += width) {
    float maximum = 0.0f;
    float nothing = 0.0f;  // unless a number is not finite
    for (int64_t i = 0; i < width; ++i) {
      maximum = std::max(maximum, std::fabs(x[i]));
      nothing += x[i] * 0.0f;
    }
    const bool is_zero = !(maximum >= 0x1.0p-120f);
    scales[r] = (is_zero ? 0.0f : maximum / 127.0f) + nothing;
    const float factor = is_zero ? 0.0f : 127.0f / maximum;
    for (int64_t i = 0; i < width; ++i) {
      const float code = std::nearbyint(std::clamp(x[i] * factor, -127.0f, 127.0f));
      out[i] = std::isnan(code) ? int8_t{0} : static_cast<int8_t>(code);
    }
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

template <class T>
void silu_mul_gradient(const void* gate, const void* up, const void* gradient, void* gate_gradient,
                       void* up_gradient, int64_t count) noexcept {
  for (int64_t i = 0; i < count; ++i) {
    const float x = get(static_cast<const T*>(gate)[i]);
    const float g = get(static_cast<const T*>(gradient)[i]);
    const float s = 1.0f / (1.0f + std::exp(-x));
    const float silu_gradient = rounded<T>(g * get(static_cast<const T*>(up)[i]));
    set(static_cast<T*>(up_gradient)[i], g * rounded<T>(x * s));
    set(static_cast<T*>(gate_gradient)[i], silu_gradient * (s * (1.0f + x * (1.0f - s))));
  }
}

template <class T>
void rms_norm_gradient(const void* x, const void* weight, float epsilon, const void* gradient,
                       void* x_gradient, float* weight_gradient, int64_t num_rows,
                       int64_t width) noexcept {
  const T* w = static_cast<const T*>(weight);
  const auto count = static_cast<float>(width);
  for (int64_t r = 0; r < num_rows; ++r) {
    const T* row = static_cast<const T*>(x) + r * width;
    const T* g = static_cast<const T*>(gradient) + r * width;
    T* out = static_cast<T*>(x_gradient) + r * width;
    float squares = 0.0f;
    float dot = 0.0f;
    for (int64_t i = 0; i < width; ++i) {
      squares += get(row[i]) * get(row[i]);
      dot += get(g[i]) * get(w[i]) * get(row[i]);
    }
    const float inverse = 1.0f / std::sqrt(squares / count + epsilon);
    const float pull = dot * inverse * inverse / count;
    for (int64_t i = 0; i < width; ++i) {
      set(out[i], inverse * (get(g[i]) * get(w[i]) - pull * get(row[i])));
      if (weight_gradient != nullptr) {
        weight_gradient[i] += get(g[i]) * rounded<T>(get(row[i]) * inverse);
      }
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
      {attention<float, float>, attention<Float16, Float16>, attention<BFloat16, BFloat16>},
      {attention<float, float>, attention<float, Float16>, attention<float, BFloat16>,
       attention<float, int8_t>},
      {attention_merge<float>, attention_merge<Float16>, attention_merge<BFloat16>},
      quantize_rows,
      {unary<float>, unary<Float16>, unary<BFloat16>},
      {add_scaled<float>, add_scaled<Float16>, add_scaled<BFloat16>},
      {silu_mul<float>, silu_mul<Float16>, silu_mul<BFloat16>},
      {rms_norm<float>, rms_norm<Float16>, rms_norm<BFloat16>},
      {layer_norm<float>, layer_norm<Float16>, layer_norm<BFloat16>},
      {rope<float>, rope<Float16>, rope<BFloat16>},
      {silu_mul_gradient<float>, silu_mul_gradient<Float16>, silu_mul_gradient<BFloat16>},
      {rms_norm_gradient<float>, rms_norm_gradient<Float16>, rms_norm_gradient<BFloat16>},
      kPackedKernels};
  return kTable;
}

}  // namespace llava::kernels::scalar
