// SPDX-License-Identifier: Apache-2.0
//
// The class behind make_torch_backend. Its operations never write their arguments, so autograd can
// follow them; kv_write, which does, is for inference only.
#pragma once

#include <c10/core/InferenceMode.h>

#include <optional>
#include <vector>

#include "llava/backend/torch/torch_error.h"
#include "llava/backend/torch/torch_tensor.h"
#include "llava/tensor/backend.h"

namespace llava {

class TorchBackend final : public Backend {
 public:
  explicit TorchBackend(Device device) : device_(device) {}

  void record_gradients(bool is_recording) noexcept { is_recording_ = is_recording; }

  std::string_view name() const noexcept override { return "torch"; }
  Device device() const noexcept override { return device_; }

  Tensor from_host(const Tensor& x) override;
  Tensor to_host(const Tensor& x) override;
  Tensor empty(const Shape& shape, DType dtype) override;
  Tensor cast(const Tensor& x, DType dtype) override;

  Tensor embedding(const Tensor& table_VD, std::span<const int32_t> ids, DType dtype) override;
  Tensor linear(const Tensor& x_TI, const Tensor& weight_OI, const Tensor& bias_O) override;
  void linear_all(const Tensor& x_TI, std::span<const LinearWeights> weights,
                  std::span<Tensor> results) override;
  Tensor patch_embed(const Tensor& pixels_ICHW, const Tensor& weight_DCpp,
                     const Tensor& bias_D) override;

  Tensor add_scaled(const Tensor& x, const Tensor& y, float scale) override;
  Tensor activation(const Tensor& x, Activation kind) override;
  Tensor silu_mul(const Tensor& gate, const Tensor& up) override;
  Tensor rms_norm(const Tensor& x, const Tensor& weight, float epsilon) override;
  Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                    float epsilon) override;
  Tensor rope(const Tensor& x_THE, const Tensor& cos_TE, const Tensor& sin_TE) override;

  Tensor attention(const Tensor& q_THE, const Tensor& k_TKE, const Tensor& v_TKE,
                   std::span<const SequenceSlice> sequences, const AttentionSpec& spec) override;
  void kv_write(KvLayer& layer, const Tensor& k_TKE, const Tensor& v_TKE,
                std::span<const SequenceSlice> sequences) override;
  Tensor attention_cached(const Tensor& q_THE, const KvLayer& layer,
                          std::span<const SequenceSlice> sequences,
                          const AttentionSpec& spec) override;

  void write_rows(Tensor& target, int64_t first_row, const Tensor& rows) override;
  Tensor gather_rows(const Tensor& x, std::span<const int32_t> rows) override;
  Tensor scatter_rows(const Tensor& x, const Tensor& source,
                      std::span<const int32_t> rows) override;
  Tensor concat_rows(std::span<const Tensor> parts) override;
  Tensor concat_columns(std::span<const Tensor> parts) override;

 private:
  /// Runs one operation in the backend's grad mode and translates its exceptions.
  template <class Operation>
  auto run(const Operation& operation) const {
    try {
      std::optional<c10::InferenceMode> inference;
      if (!is_recording_) inference.emplace();
      return operation();
    } catch (...) {
      rethrow_as_error();
    }
  }
  /// An argument as at::Tensor. Throws: Error(kInternal) when it is on another device.
  at::Tensor use(const Tensor& x) const;
  /// A packed argument. Throws: Error(kInternal) when it is on another device.
  const Tensor& use_packed(const Tensor& x) const;
  /// linear() of a weight that is not packed.
  at::Tensor linear_rows(const at::Tensor& x_TI, const at::Tensor& weight_OI,
                         const at::Tensor& bias_O) const;
  /// Indices on the device, int64.
  at::Tensor index_tensor(std::span<const int32_t> indices) const;
  at::Tensor past_rows(const at::Tensor& x, const std::vector<int32_t>& rows) const;
  Tensor concat(std::span<const Tensor> parts, int64_t dim) const;

  /// True for operations on the processor that gradients may flow through.
  bool records_on_cpu() const { return is_recording_ && device_.type == DeviceType::kCpu; }

  Device device_;
  bool is_recording_ = false;
};

}  // namespace llava
