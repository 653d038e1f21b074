// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/load_model.h"

#include <utility>

#include "llava/checkpoint/held_weights.h"
#include "llava/checkpoint/weight_assignment.h"
#include "llava/core/error.h"
#include "llava/model/parameter.h"
#include "llava/tensor/ops.h"

namespace llava::checkpoint {
namespace {

class ModelLoader {
 public:
  ModelLoader(Context& ctx, model::LlavaModel& model, const ModelWeights& weights,
              const LoadModelOptions& options)
      : ctx_(ctx),
        model_(model),
        weights_(weights),
        options_(options),
        reader_(pool(), weights, options, model.config.decoder.is_head_tied) {}

  void run() {
    const std::vector<WeightAssignment> assignments = assign_weights(model_, weights_);
    uint64_t done = 0, total = 0;
    for (const WeightAssignment& entry : assignments) total += stored_bytes(entry);
    for (const WeightAssignment& entry : assignments) {
      const HeldWeight held = reader_.read(entry);
      Tensor value = ops::from_host(ctx_, held.value);
      if (!is_packed(held.dtype)) value = ops::cast(ctx_, value, held.dtype);
      entry.parameter->value = std::move(value);
      done += stored_bytes(entry);
      if (options_.on_progress) options_.on_progress(done, total);
    }
    if (!options_.merges_adapters) attach_adapters();
  }

 private:
  static uint64_t stored_bytes(const WeightAssignment& entry) {
    return static_cast<uint64_t>(entry.info().stored_bytes);
  }

  ThreadPool& pool() {
    if (ctx_.pool != nullptr) return *ctx_.pool;
    return own_pool_.emplace(1);
  }

  void attach_adapters() {
    model::visit(model_, {.on_parameter = {},
                          .on_linear = [&](const std::string& name, model::Linear& linear) {
                            const auto it = weights_.adapters.find(name);
                            if (it == weights_.adapters.end()) return;
                            const model::LoraAdapter& adapter = it->second;
                            linear.adapters.push_back(
                                {to_device(adapter.a_RI), to_device(adapter.b_OR), adapter.scale});
                          }});
  }

  Tensor to_device(const Tensor& value) {
    return ops::cast(ctx_, ops::from_host(ctx_, value), options_.dtype);
  }

  Context& ctx_;
  model::LlavaModel& model_;
  const ModelWeights& weights_;
  const LoadModelOptions& options_;
  std::optional<ThreadPool> own_pool_;
  WeightReader reader_;
};

// What the first source that has the tensor stores, or nothing.
const TensorInfo* find_info(const ModelWeights& weights, const std::string& name) {
  for (const auto& source : weights.sources) {
    const auto it = source->tensors().find(name);
    if (it != source->tensors().end()) return &it->second;
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<model::LlavaModel> load_model(Context& ctx, const model::LlavaConfig& config,
                                              const ModelWeights& weights,
                                              const LoadModelOptions& options) {
  model::validate(config);
  auto model = std::make_unique<model::LlavaModel>(config);
  ModelLoader(ctx, *model, weights, options).run();
  return model;
}

std::vector<std::string> find_problems(const model::LlavaConfig& config,
                                       const ModelWeights& weights) {
  try {
    model::LlavaModel model(config);
    assign_weights(model, weights);
    return {};
  } catch (const Error& error) {
    return {error.what()};
  }
}

WeightBytes weight_bytes(const model::LlavaConfig& config, const ModelWeights& weights,
                         const LoadModelOptions& options) {
  model::LlavaModel model(config);
  const HeldDtypes held(weights, options, config.decoder.is_head_tied);
  WeightBytes bytes;
  model::visit(model, {.on_parameter =
                           [&](const std::string& name, model::Parameter& p) {
                             const TensorInfo* info = find_info(weights, name);
                             if (info == nullptr && p.is_optional) return;
                             const DType dtype = held.of(
                                 name, p.shape, info != nullptr ? info->dtype : options.dtype);
                             const int64_t size = tensor_bytes(p.shape, dtype);
                             bytes.by_dtype[dtype] += size;
                             if (is_vision_name(name)) {
                               bytes.vision += size;
                             } else if (is_projector_name(name)) {
                               bytes.projector += size;
                             } else {
                               bytes.decoder += size;
                             }
                           },
                       .on_linear = {}});
  return bytes;
}

}  // namespace llava::checkpoint
