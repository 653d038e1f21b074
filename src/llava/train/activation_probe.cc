// SPDX-License-Identifier: Apache-2.0
#include "llava/train/activation_probe.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <regex>

#include "llava/backend/torch/torch_tensor.h"
#include "llava/checkpoint/held_weights.h"
#include "llava/train/base_model.h"
#include "llava/train/forward_pass.h"
#include "llava/train/quantized_base.h"
#include "llava/train/trainables.h"

namespace llava::train {
namespace {

// Bytes of tensors that are made and freed on one kind of device while it is in force.
class AllocationCounter final : public c10::MemoryReportingInfoBase {
 public:
  explicit AllocationCounter(c10::DeviceType device) : device_(device) {}

  void reportMemoryUsage(void*, int64_t num_bytes, std::size_t, std::size_t,
                         c10::Device device) override {
    if (device.type() != device_) return;
    const std::lock_guard lock(mutex_);
    live_ += num_bytes;
    peak_ = std::max(peak_, live_);
  }
  bool memoryProfilingEnabled() const override { return true; }

  int64_t live() const { return live_; }
  // The most since the last call.
  int64_t take_peak() {
    const std::lock_guard lock(mutex_);
    return std::exchange(peak_, live_);
  }

 private:
  c10::DeviceType device_;
  std::mutex mutex_;  // autograd of devices runs in threads of its own
  int64_t live_ = 0;
  int64_t peak_ = 0;
};

// Numbers of layers that run.
struct Depth {
  int32_t decoder = 1;
  int32_t tower = 1;
};

model::LlavaConfig with_depth(model::LlavaConfig shape, const Depth& depth) {
  shape.decoder.num_hidden_layers = depth.decoder;
  shape.vision.num_hidden_layers = depth.tower;
  std::ranges::fill(shape.vision_feature_layers, depth.tower);
  return shape;
}

// Zeros in the run's types. What is optional is left out: the tower's last norm, a tied head.
void fill(model::LlavaModel& model, const ComputeTypes& types, Device device) {
  model::visit(model,
               {.on_parameter =
                    [&](const std::string& name, model::Parameter& parameter) {
                      if (parameter.is_optional) return;
                      const DType dtype =
                          checkpoint::is_vision_name(name) ? types.vision_tower : types.model;
                      parameter.value = from_at(at::zeros(
                          parameter.shape,
                          at::TensorOptions(scalar_type(dtype)).device(torch_device(device))));
                    },
                .on_linear = {}});
}

// The run's configuration as far as it is one of few layers too.
TrainConfig for_probe(TrainConfig config, model::LlavaModel& model) {
  config.lora.lora_weight_path.clear();
  if (config.lora.lora_enable && !config.lora.lora_target_modules.empty()) {
    // A pattern of layers that the probe lacks: as if all had adapters.
    const std::regex pattern(config.lora.lora_target_modules, std::regex::ECMAScript);
    bool has_target = false;
    model::visit(model,
                 {.on_parameter = {}, .on_linear = [&](const std::string& name, model::Linear&) {
                    has_target = has_target || std::regex_match(name, pattern);
                  }});
    if (!has_target) config.lora.lora_target_modules.clear();
  }
  return config;
}

ActivationBytes run_probe(Context& ctx, const TrainConfig& run_config,
                          const model::LlavaConfig& shape, const data::FlatBatch& batch) {
  model::LlavaModel model(shape);
  fill(model, compute_types(run_config), ctx.backend.device());
  const TrainConfig config = for_probe(run_config, model);
  quantize_base(model, config, *ctx.pool);
  const Trainables trainables = make_trainable(model, config);
  trainables.lora.clock->is_training = true;
  const PassOptions options = pass_options(config, trainables, /*features=*/nullptr);

  const auto counter =
      std::make_shared<AllocationCounter>(torch_device(ctx.backend.device()).type());
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, counter);
  ActivationBytes bytes;
  Tensor x_TD = embed_batch(ctx, model, batch, options);
  bytes.encoding = counter->take_peak();
  at::Tensor loss = summed_loss(ctx, model, batch, x_TD, options);
  bytes.held = counter->live();
  bytes.forward = counter->take_peak();
  if (!loss.defined() || !loss.requires_grad()) return bytes;
  // Its gradient is the last thing of the layers; what follows is the table's and the projector's.
  int64_t before_end = 0;
  const at::Tensor input = to_at(x_TD);
  if (input.requires_grad()) {
    input.register_hook([&](const at::Tensor&) {
      bytes.backward = counter->take_peak();
      before_end = counter->live();
    });
  }
  x_TD = Tensor();
  loss.backward();
  if (input.requires_grad()) {
    bytes.backward_end = std::max<int64_t>(0, counter->take_peak() - before_end);
  } else {
    bytes.backward = counter->take_peak();
  }
  return bytes;
}

}  // namespace

ActivationBytes measure_activations(Context& ctx, const TrainConfig& config,
                                    const model::LlavaConfig& shape, const data::FlatBatch& batch) {
  const auto measure = [&](const Depth& depth) {
    return run_probe(ctx, config, with_depth(shape, depth), batch);
  };
  const ActivationBytes one = measure({.decoder = 1});
  const ActivationBytes two = measure({.decoder = 2});
  ActivationBytes whole = two;
  whole.held += (two.held - one.held) * (shape.decoder.num_hidden_layers - 2);
  if (config.optimization.tune_vision_tower && !batch.pictures.empty()) {
    int32_t last = 1;
    for (const int32_t layer : shape.vision_feature_layers) {
      last = std::max(last, model::resolve_feature_layer(layer, shape.vision.num_hidden_layers));
    }
    const int64_t layer = measure({.decoder = 1, .tower = 2}).held - one.held;
    whole.held += layer * (last - 1);
    whole.encoding += layer * (last - 1);
  }
  // What comes on top is there once, however many layers there are.
  whole.forward = whole.held + (two.forward - two.held);
  whole.backward = whole.held + std::max<int64_t>(0, two.backward - two.held);
  return whole;
}

}  // namespace llava::train
