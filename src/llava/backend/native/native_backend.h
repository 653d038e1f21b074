// SPDX-License-Identifier: Apache-2.0
//
// The CPU backend: the operations of tensor/ops.h on our kernels. Weights are used as they lie in
// the mapped file, row-major or packed; nothing is copied or converted ahead of time.
//
// Memory of results is used again (result_pool.h). Memory beyond them: for each thread one buffer
// of 416 KB (linear) or 4 KB per element of head width (attention), whichever is more, kept between
// calls; 1.5 bytes per activation of the largest packed linear so far, kept as well; and the
// patches of one image during patch_embed.
#pragma once

#include <memory>

#include "llava/backend/native/result_pool.h"
#include "llava/backend/native/scratch.h"
#include "llava/core/thread_pool.h"
#include "llava/kernels/kernel_table.h"
#include "llava/tensor/backend.h"

namespace llava::native {

/// Threads: one thread at a time per object; the pool must not be running other work meanwhile.
class NativeBackend final : public Backend {
 public:
  /// `pool` outlives the backend.
  explicit NativeBackend(ThreadPool& pool) : pool_(pool) {}

  std::string_view name() const noexcept override { return "native"; }
  Device device() const noexcept override { return {}; }

  Tensor from_host(const Tensor& x) override { return x; }
  Tensor to_host(const Tensor& x) override { return x; }
  Tensor empty(const Shape& shape, DType dtype) override { return Tensor::empty(shape, dtype); }
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
  /// Runs `args` over all outputs, split into panels for the pool.
  void run_linear(const kernels::LinearArgs& args, int64_t num_outputs, DType dtype);
  /// linear() with packed weights, which share the quantised rows of x and the threads.
  void packed_linear(const Tensor& x_TI, std::span<const LinearWeights> weights,
                     std::span<Tensor> results);
  /// embedding() from a packed table.
  Tensor packed_rows(const Tensor& table_VD, std::span<const int32_t> ids, DType dtype);
  /// Attention over the layer's rows: pages of `page_size` positions, or with 0 the rows of the
  /// tokens themselves.
  Tensor run_attention(const Tensor& q_THE, const KvLayer& layer, int64_t page_size,
                       std::span<const SequenceSlice> sequences, const AttentionSpec& spec);

  ThreadPool& pool_;
  ResultPool results_;
  ScratchPool scratch_;
  ScratchPool activations_;
};

/// The kernels' number for a compute dtype.
///
/// Throws: Error(kInternal) for another dtype.
kernels::Format format_of(DType dtype);
/// The kernels' number for a packed form.
///
/// Throws: Error(kInternal) for another dtype.
kernels::Packed packed_form_of(DType dtype);

std::unique_ptr<Backend> make_native_backend(ThreadPool& pool);

}  // namespace llava::native
