// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/conversion/weight_delta.h"

#include <chrono>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "llava/checkpoint/held_weights.h"
#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/sharded_writer.h"
#include "llava/core/error.h"
#include "llava/core/float_formats.h"
#include "llava/engine/conversion/source_folder.h"
#include "llava/engine/output_folder.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;
using checkpoint::TensorInfo;
using SourcePtr = std::shared_ptr<const checkpoint::TensorSource>;

enum class Sign { kPlus, kMinus };

// One of the two inputs, with the flag that named it.
struct Input {
  SourceFolder folder;
  std::string_view flag;
};

SourcePtr under_original_names(const SourcePtr& weights) {
  return checkpoint::rename_source(weights, [](std::string_view key) {
    return std::optional<std::string>(checkpoint::canonical_name(key));
  });
}

// changed +- base in the first rows and columns, the rest as it is.
Tensor combine(const Tensor& changed, const Tensor& base, Sign sign) {
  const Tensor x = host_cast(changed, DType::kFloat16);
  const Tensor y = host_cast(base, DType::kFloat16);
  Tensor result = Tensor::empty(x.shape(), DType::kFloat16);
  const auto old_values = x.data<uint16_t>();
  const auto base_values = y.data<uint16_t>();
  const auto new_values = result.mutable_data<uint16_t>();
  std::copy(old_values.begin(), old_values.end(), new_values.begin());
  if (base_values.empty()) return result;
  const auto width = static_cast<std::size_t>(x.rank() == 0 ? 1 : x.dim(-1));
  const auto base_width = static_cast<std::size_t>(y.rank() == 0 ? 1 : y.dim(-1));
  for (std::size_t row = 0; row < base_values.size() / base_width; ++row) {
    for (std::size_t column = 0; column < base_width; ++column) {
      const float was = float_from_f16(old_values[row * width + column]);
      const float other = float_from_f16(base_values[row * base_width + column]);
      new_values[row * width + column] =
          f16_from_float(sign == Sign::kPlus ? was + other : was - other);
    }
  }
  return result;
}

class DeltaConversion {
 public:
  DeltaConversion(Input base, Input changed, Sign sign)
      : base_(std::move(base)),
        changed_(std::move(changed)),
        sign_(sign),
        base_weights_(under_original_names(base_.folder.weights)),
        changed_weights_(under_original_names(changed_.folder.weights)) {}

  ConversionReport run(const std::string& output, std::string_view output_flag,
                       int64_t max_shard_bytes, const ProgressCallback& on_progress) const {
    const auto start = std::chrono::steady_clock::now();
    const fs::path target = output_path(output, output_flag);
    for (const Input* input : {&base_, &changed_}) {
      require_other_folder(target, output_flag, input->folder.path, input->flag);
    }
    require_new_folder(target, output_flag);
    ConversionReport report{.output = output};
    std::vector<checkpoint::WeightToWrite> weights;
    for (const auto& [name, info] : changed_weights_->tensors()) {
      weights.push_back(plan(info));
      report.bytes += static_cast<uint64_t>(weights.back().tensor.num_bytes());
    }
    report.num_tensors = static_cast<int64_t>(weights.size());
    OutputFolder folder(target);
    write_small_files(changed_.folder, folder.folder(), DType::kFloat16);
    checkpoint::write_sharded_weights(
        folder.folder(), weights,
        {.max_shard_bytes = static_cast<uint64_t>(max_shard_bytes), .on_progress = on_progress});
    folder.finish();
    report.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  }

 private:
  // The base's tensor of this name; a head that the base has tied is its table.
  const TensorInfo* base_info(const std::string& name) const {
    const auto& tensors = base_weights_->tensors();
    auto it = tensors.find(name);
    if (it == tensors.end() && name == checkpoint::kHeadTable)
      it = tensors.find(std::string(checkpoint::kEmbeddingTable));
    return it == tensors.end() ? nullptr : &it->second;
  }

  checkpoint::WeightToWrite plan(const TensorInfo& info) const {
    const TensorInfo* base = base_info(info.name);
    if (base == nullptr) {
      if (!checkpoint::is_projector_name(info.name)) {
        fail(ErrorCode::kBadFormat,
             "{} '{}': tensor '{}' is not in {} '{}', expected only the projector's to be new: "
             "give the base that the model was made from",
             changed_.flag, changed_.folder.path.string(), info.name, base_.flag,
             base_.folder.path.string());
      }
      return {{info.name, info.shape, DType::kFloat16}, [this, &info] {
                return host_cast(changed_weights_->load(info.name), DType::kFloat16);
              }};
    }
    check_shapes(info, *base);
    return {{info.name, info.shape, DType::kFloat16}, [this, &info, base] {
              return combine(changed_weights_->load(info.name), base_weights_->load(base->name),
                             sign_);
            }};
  }

  void check_shapes(const TensorInfo& info, const TensorInfo& base) const {
    if (info.shape == base.shape) return;
    const bool may_grow =
        info.name == checkpoint::kEmbeddingTable || info.name == checkpoint::kHeadTable;
    const bool covers = info.shape.size() == 2 && base.shape.size() == 2 &&
                        info.shape[0] >= base.shape[0] && info.shape[1] >= base.shape[1];
    if (may_grow && covers) return;
    fail(ErrorCode::kBadFormat,
         "{} '{}': tensor '{}' has shape {}, but {} '{}' has {}, expected {}: give the base that "
         "the model was made from",
         changed_.flag, changed_.folder.path.string(), info.name, to_text(info.shape), base_.flag,
         base_.folder.path.string(), to_text(base.shape),
         may_grow ? "no more rows and columns" : "the same");
  }

  Input base_;
  Input changed_;
  Sign sign_;
  SourcePtr base_weights_;
  SourcePtr changed_weights_;
};

}  // namespace

ConversionReport make_delta(const MakeDeltaRequest& request, const ProgressCallback& on_progress) {
  constexpr std::string_view kBase = "--base-model-path", kTarget = "--target-model-path";
  return DeltaConversion({open_source_folder(request.base_model_path, kBase), kBase},
                         {open_source_folder(request.target_model_path, kTarget), kTarget},
                         Sign::kMinus)
      .run(request.delta_path, "--delta-path", request.max_shard_bytes, on_progress);
}

ConversionReport apply_delta(const ApplyDeltaRequest& request,
                             const ProgressCallback& on_progress) {
  constexpr std::string_view kBase = "--base-model-path", kDelta = "--delta-path";
  return DeltaConversion({open_source_folder(request.base_model_path, kBase), kBase},
                         {open_source_folder(request.delta_path, kDelta), kDelta}, Sign::kPlus)
      .run(request.target_model_path, "--target-model-path", request.max_shard_bytes, on_progress);
}

}  // namespace llava::engine
