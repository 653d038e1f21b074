// SPDX-License-Identifier: Apache-2.0
#include "llava/train/quantized_base.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "llava/backend/torch/coded_weight.h"
#include "llava/backend/torch/torch_tensor.h"
#include "llava/core/error.h"
#include "llava/core/mapped_pages.h"
#include "llava/train/block_codes.h"

namespace llava::train {
namespace {

// Values that one thread decodes at a time; even, as dequantize_range wants.
constexpr int64_t kGrain = 16384;
// Of those, what is in float32 before it is rounded.
constexpr int64_t kPiece = 512;

CodeType code_type(const LoraArguments& lora) {
  if (lora.bits == 8) return CodeType::kInt8;
  return lora.quant_type == "fp4" ? CodeType::kFp4 : CodeType::kNf4;
}

template <class T>
void decode_into(const BlockCodes& codes, std::span<const float> scales, int64_t begin, int64_t end,
                 T* out) {
  std::array<float, kPiece> piece;
  for (int64_t first = begin; first < end; first += kPiece) {
    const int64_t last = std::min(first + kPiece, end);
    dequantize_range(codes, scales, first, last, piece.data());
    for (int64_t i = first; i < last; ++i) {
      out[i] = static_cast<T>(piece[static_cast<std::size_t>(i - first)]);
    }
  }
}

// A matrix in codes, on the processor.
class CodedMatrix final : public CodedStorage {
 public:
  CodedMatrix(BlockCodes codes, const Shape& shape, DType dtype)
      : CodedStorage(tensor_bytes(shape, dtype)),
        codes_(std::move(codes)),
        shape_(shape),
        dtype_(scalar_type(dtype)) {}

  at::Tensor decode() const override {
    at::Tensor matrix = at::empty(shape_, at::TensorOptions(dtype_));
    const std::vector<float> scales = block_scales(codes_);
    // Pieces of threads begin at even places.
    const int64_t pieces = (codes_.num_values + kGrain - 1) / kGrain;
    at::parallel_for(0, pieces, 1, [&](int64_t from, int64_t to) {
      const int64_t begin = from * kGrain;
      const int64_t end = std::min(to * kGrain, codes_.num_values);
      if (dtype_ == at::kBFloat16) {
        decode_into(codes_, scales, begin, end, matrix.mutable_data_ptr<at::BFloat16>());
      } else if (dtype_ == at::kHalf) {
        decode_into(codes_, scales, begin, end, matrix.mutable_data_ptr<at::Half>());
      } else {
        decode_into(codes_, scales, begin, end, matrix.mutable_data_ptr<float>());
      }
    });
    return matrix;
  }
  int64_t coded_bytes() const override { return codes_.num_bytes(); }

 private:
  BlockCodes codes_;
  Shape shape_;
  at::ScalarType dtype_;
};

}  // namespace

bool is_quantized(const std::string& name, const TrainConfig& config) {
  if (config.lora.bits == 16 || !name.ends_with(".weight")) return false;
  if (name == "lm_head.weight") return config.compat() == Compat::kReference;
  return name.starts_with("model.layers.") && name.find("norm") == std::string::npos;
}

int64_t quantized_bytes(int64_t count, int64_t row_length, const LoraArguments& lora) {
  const auto up = [](int64_t n, int64_t size) { return (n + size - 1) / size; };
  if (lora.bits == 8) return count + 4 * up(count, row_length);
  const int64_t blocks = up(count, 64);
  return up(count, 2) + (lora.double_quant ? blocks + 4 * up(blocks, 256) : 4 * blocks);
}

void quantize_base(model::LlavaModel& model, const TrainConfig& config, ThreadPool& pool) {
  if (config.lora.bits == 16) return;
  std::vector<model::Parameter*> matrices;
  model::visit(model, {.on_parameter =
                           [&](const std::string& name, model::Parameter& parameter) {
                             if (parameter.value.is_defined() && is_quantized(name, config)) {
                               matrices.push_back(&parameter);
                             }
                           },
                       .on_linear = {}});
  const CodeType type = code_type(config.lora);
  pool.run(static_cast<int64_t>(matrices.size()), [&](int64_t i) {
    Tensor& value = matrices[static_cast<std::size_t>(i)]->value;
    if (value.device() != Device{}) {
      fail(ErrorCode::kUnsupported,
           "--bits {} trains on the processor alone, and the run is on another device: give "
           "--device cpu, or --bits 16",
           config.lora.bits);
    }
    const Shape shape = value.shape();
    const DType dtype = value.dtype();
    const Tensor wide = host_to_float32(value);
    BlockCodes codes =
        quantize_blocks(wide.data<float>(), type, config.lora.double_quant, shape.back());
    if (value.storage()->is_foreign()) give_back_pages(value.bytes());
    value = Tensor(std::make_shared<CodedMatrix>(std::move(codes), shape, dtype), dtype, shape);
  });
}

}  // namespace llava::train
