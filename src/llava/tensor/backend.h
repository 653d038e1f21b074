// SPDX-License-Identifier: Apache-2.0
//
// The contract of a compute backend: one virtual function per operation of tensor/ops.h, called
// only with arguments that ops.cc has validated. What each operation computes is documented there.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "llava/core/thread_pool.h"
#include "llava/tensor/batch.h"
#include "llava/tensor/tensor.h"

namespace llava {

enum class Activation : uint8_t { kGelu, kGeluTanh, kQuickGelu, kSilu, kRelu };

/// scale * (x A^T) B^T beside a product (arXiv:2106.09685, section 4.1): a [R, I], b [O, R].
struct LowRankTerm {
  Tensor x;  ///< what A sees: the product's x, or what dropout left of it
  const Tensor& a_RI;
  const Tensor& b_OR;
  float scale;
};

/// A weight [O, I], its bias [O], undefined when it has none, and what is added to their product.
struct LinearWeights {
  const Tensor& weight_OI;
  const Tensor& bias_O;
  std::span<const LowRankTerm> low_rank = {};
};

/// Threads: one thread at a time per backend object.
class Backend {
 public:
  virtual ~Backend() = default;

  /// "native" or "torch".
  virtual std::string_view name() const noexcept = 0;
  virtual Device device() const noexcept = 0;

  virtual Tensor from_host(const Tensor& x) = 0;
  virtual Tensor to_host(const Tensor& x) = 0;
  virtual Tensor empty(const Shape& shape, DType dtype) = 0;
  virtual Tensor cast(const Tensor& x, DType dtype) = 0;

  virtual Tensor embedding(const Tensor& table_VD, std::span<const int32_t> ids, DType dtype) = 0;
  virtual Tensor linear(const Tensor& x_TI, const Tensor& weight_OI, const Tensor& bias_O) = 0;
  /// One product after the other, unless a backend knows better.
  virtual void linear_all(const Tensor& x_TI, std::span<const LinearWeights> weights,
                          std::span<Tensor> results) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      results[i] =
          with_low_rank(linear(x_TI, weights[i].weight_OI, weights[i].bias_O), weights[i].low_rank);
    }
  }
  virtual Tensor patch_embed(const Tensor& pixels_ICHW, const Tensor& weight_DCpp,
                             const Tensor& bias_D) = 0;

  virtual Tensor add_scaled(const Tensor& x, const Tensor& y, float scale) = 0;
  virtual Tensor activation(const Tensor& x, Activation kind) = 0;
  virtual Tensor silu_mul(const Tensor& gate, const Tensor& up) = 0;
  virtual Tensor rms_norm(const Tensor& x, const Tensor& weight, float epsilon) = 0;
  virtual Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                            float epsilon) = 0;
  virtual Tensor rope(const Tensor& x_THE, const Tensor& cos_TE, const Tensor& sin_TE) = 0;

  virtual Tensor attention(const Tensor& q_THE, const Tensor& k_TKE, const Tensor& v_TKE,
                           std::span<const SequenceSlice> sequences, const AttentionSpec& spec) = 0;
  virtual void kv_write(KvLayer& layer, const Tensor& k_TKE, const Tensor& v_TKE,
                        std::span<const SequenceSlice> sequences) = 0;
  virtual Tensor attention_cached(const Tensor& q_THE, const KvLayer& layer,
                                  std::span<const SequenceSlice> sequences,
                                  const AttentionSpec& spec) = 0;

  virtual void write_rows(Tensor& target, int64_t first_row, const Tensor& rows) = 0;
  virtual Tensor gather_rows(const Tensor& x, std::span<const int32_t> rows) = 0;
  virtual Tensor scatter_rows(const Tensor& x, const Tensor& source,
                              std::span<const int32_t> rows) = 0;
  virtual Tensor concat_rows(std::span<const Tensor> parts) = 0;
  virtual Tensor concat_columns(std::span<const Tensor> parts) = 0;

 protected:
  /// y and the terms, one after the other, as add_scaled rounds them.
  Tensor with_low_rank(Tensor y_TO, std::span<const LowRankTerm> terms) {
    for (const LowRankTerm& term : terms) {
      const Tensor low_TR = linear(term.x, term.a_RI, Tensor());
      y_TO = add_scaled(y_TO, linear(low_TR, term.b_OR, Tensor()), term.scale);
    }
    return y_TO;
  }
};

/// What an operation needs besides its arguments; passed by reference through the model.
struct Context {
  Backend& backend;
  /// Threads for work on host memory between operations (loading); null: the caller's alone.
  ThreadPool* pool = nullptr;
};

}  // namespace llava
