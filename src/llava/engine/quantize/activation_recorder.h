// SPDX-License-Identifier: Apache-2.0
//
// A backend that passes every operation on to another and remembers how large the inputs of linear
// layers are. The model definition knows nothing of it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "llava/model/llava_model.h"
#include "llava/tensor/backend.h"

namespace llava::engine {

/// Mean squares of the inputs of each matrix, by the name of its weight.
using InputMeanSquares = std::map<std::string, std::vector<float>>;

/// Threads: as the backend it decorates.
class ActivationRecorder final : public Backend {
 public:
  /// Keeps a reference to `backend`. Weights are recognised by their storage: `model` lives as
  /// long.
  ActivationRecorder(Backend& backend, model::LlavaModel& model);

  /// Of what was seen so far; weights that no input came to are left out.
  InputMeanSquares mean_squares() const;

  std::string_view name() const noexcept override { return backend_.name(); }
  Device device() const noexcept override { return backend_.device(); }
  Tensor from_host(const Tensor& x) override { return backend_.from_host(x); }
  Tensor to_host(const Tensor& x) override { return backend_.to_host(x); }
  Tensor empty(const Shape& shape, DType dtype) override { return backend_.empty(shape, dtype); }
  Tensor cast(const Tensor& x, DType dtype) override { return backend_.cast(x, dtype); }
  Tensor embedding(const Tensor& table_VD, std::span<const int32_t> ids, DType dtype) override {
    return backend_.embedding(table_VD, ids, dtype);
  }
  Tensor linear(const Tensor& x_TI, const Tensor& weight_OI, const Tensor& bias_O) override;
  Tensor patch_embed(const Tensor& pixels_ICHW, const Tensor& weight_DCpp,
                     const Tensor& bias_D) override {
    return backend_.patch_embed(pixels_ICHW, weight_DCpp, bias_D);
  }
  Tensor add_scaled(const Tensor& x, const Tensor& y, float scale) override {
    return backend_.add_scaled(x, y, scale);
  }
  Tensor activation(const Tensor& x, Activation kind) override {
    return backend_.activation(x, kind);
  }
  Tensor silu_mul(const Tensor& gate, const Tensor& up) override {
    return backend_.silu_mul(gate, up);
  }
  Tensor rms_norm(const Tensor& x, const Tensor& weight, float epsilon) override {
    return backend_.rms_norm(x, weight, epsilon);
  }
  Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                    float epsilon) override {
    return backend_.layer_norm(x, weight, bias, epsilon);
  }
  Tensor rope(const Tensor& x_THE, const Tensor& cos_TE, const Tensor& sin_TE) override {
    return backend_.rope(x_THE, cos_TE, sin_TE);
  }
  Tensor attention(const Tensor& q_THE, const Tensor& k_TKE, const Tensor& v_TKE,
                   std::span<const SequenceSlice> sequences, const AttentionSpec& spec) override {
    return backend_.attention(q_THE, k_TKE, v_TKE, sequences, spec);
  }
  void kv_write(KvLayer& layer, const Tensor& k_TKE, const Tensor& v_TKE,
                std::span<const SequenceSlice> sequences) override {
    backend_.kv_write(layer, k_TKE, v_TKE, sequences);
  }
  Tensor attention_cached(const Tensor& q_THE, const KvLayer& layer,
                          std::span<const SequenceSlice> sequences,
                          const AttentionSpec& spec) override {
    return backend_.attention_cached(q_THE, layer, sequences, spec);
  }
  void write_rows(Tensor& target, int64_t first_row, const Tensor& rows) override {
    backend_.write_rows(target, first_row, rows);
  }
  Tensor gather_rows(const Tensor& x, std::span<const int32_t> rows) override {
    return backend_.gather_rows(x, rows);
  }
  Tensor scatter_rows(const Tensor& x, const Tensor& source,
                      std::span<const int32_t> rows) override {
    return backend_.scatter_rows(x, source, rows);
  }
  Tensor concat_rows(std::span<const Tensor> parts) override { return backend_.concat_rows(parts); }
  Tensor concat_columns(std::span<const Tensor> parts) override {
    return backend_.concat_columns(parts);
  }

 private:
  struct Sums {
    std::string name;
    std::vector<double> squares;
    int64_t num_rows = 0;
  };

  Backend& backend_;
  std::map<const Storage*, Sums> sums_;
};

}  // namespace llava::engine
