// SPDX-License-Identifier: Apache-2.0
#include "llava/train/memory_plan.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "llava/checkpoint/held_weights.h"
#include "llava/core/available_memory.h"
#include "llava/core/memory_use.h"
#include "llava/data/loader.h"
#include "llava/data/rank_batches.h"
#include "llava/train/activation_probe.h"
#include "llava/train/base_model.h"
#include "llava/train/block_allocator.h"
#include "llava/train/quantized_base.h"
#include "llava/train/trainables.h"

namespace llava::train {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr int64_t kFloatBytes = 4;
constexpr int64_t kDoubleBytes = 8;
// What block_allocator.h may keep idle beside the blocks in use.
constexpr double kRoomBetweenBlocks = 1.0 / 16;

int64_t num_elements(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

// Bytes that depend on shapes and types alone.
struct FixedBytes {
  int64_t weights = 0;          // that the model computes with
  int64_t masters = 0;          // float32 twins of trained 16-bit weights
  int64_t trained = 0;          // of `weights`, those that train
  int64_t num_trained = 0;      // elements
  int64_t largest_trained = 0;  // elements of one tensor
  int64_t converted = 0;        // of files that are read but not computed with
  int64_t kept_files = 0;       // of `converted`, those that stay mapped
};

class FixedCounter {
 public:
  FixedCounter(const PlanInputs& inputs, const TrainConfig& config)
      : inputs_(inputs),
        config_(config),
        options_(load_options(config)),
        held_(inputs.weights, options_, inputs.shape.decoder.is_head_tied) {}

  FixedBytes run() {
    model::LlavaModel shapes(inputs_.shape);
    std::vector<std::string> targets;
    if (config_.lora.lora_enable) {
      targets = lora_targets(shapes, config_.lora.lora_target_modules);
    }
    model::visit(shapes, {.on_parameter = [&](const std::string& name,
                                              model::Parameter& p) { add(name, p, targets); },
                          .on_linear =
                              [&](const std::string& name, model::Linear& linear) {
                                if (std::ranges::find(targets, name) == targets.end()) return;
                                const int64_t rank = config_.lora.lora_r;
                                add_trained(rank * linear.in_features(), options_.dtype);
                                add_trained(rank * linear.out_features(), options_.dtype);
                              }});
    for (const auto& [file, bytes] : files_) {
      if (bytes.has_mapped) bytes_.kept_files += bytes.converted;
    }
    return bytes_;
  }

 private:
  // What a run does with the tensors of one file.
  struct FileUse {
    bool has_mapped = false;  // some are computed with where they lie
    int64_t converted = 0;    // bytes of others, which stay mapped beside them
  };

  void add(const std::string& name, const model::Parameter& p,
           const std::vector<std::string>& targets) {
    const auto source = std::ranges::find_if(inputs_.weights.sources, [&](const auto& candidate) {
      return candidate->tensors().contains(name);
    });
    if (source == inputs_.weights.sources.end()) return;
    const checkpoint::TensorInfo& info = (*source)->tensors().at(name);
    const DType dtype = held_.of(name, p.shape, info.dtype);
    FileUse& file = files_[info.file];
    if (dtype != info.dtype) {
      bytes_.converted += info.stored_bytes;
      file.converted += info.stored_bytes;
    } else {
      file.has_mapped = true;
    }
    if (is_trained(name, config_, targets)) {
      add_trained(num_elements(p.shape), dtype);
    } else if (is_quantized(name, config_)) {
      bytes_.weights += quantized_bytes(num_elements(p.shape), p.shape.back(), config_.lora);
    } else {
      bytes_.weights += tensor_bytes(p.shape, dtype);
    }
  }

  void add_trained(int64_t count, DType dtype) {
    const int64_t bytes = count * item_size(dtype);
    bytes_.weights += bytes;
    bytes_.trained += bytes;
    bytes_.num_trained += count;
    bytes_.largest_trained = std::max(bytes_.largest_trained, count);
    if (dtype != DType::kFloat32) bytes_.masters += count * kFloatBytes;
  }

  const PlanInputs& inputs_;
  const TrainConfig& config_;
  checkpoint::LoadModelOptions options_;
  checkpoint::HeldDtypes held_;
  FixedBytes bytes_;
  std::map<std::string, FileUse> files_;
};

// What the process holds between two pieces of work: its code as far as it has run, and its data.
int64_t held_by_process() {
#if defined(__GLIBC__)
  malloc_trim(0);  // what was freed is not held
#endif
  return memory_use().bytes;
}

// What is there at one moment of a step besides what always is.
struct Moment {
  const char* name;
  int64_t gradients = 0;
  int64_t activations = 0;
};

Moment largest_moment(const TrainConfig& config, const FixedBytes& fixed,
                      const ActivationBytes& activations) {
  const int64_t sums = fixed.num_trained * kFloatBytes;
  const bool is_wide = fixed.masters == 0;  // float32 leaves sum their gradients in place
  const int64_t carried = config.optimization.gradient_accumulation_steps > 1 ? sums : 0;
  const int64_t leaves = is_wide ? (carried > 0 ? 0 : sums) : fixed.trained;
  const std::array<Moment, 5> moments{{
      {"while pictures are encoded", carried, activations.encoding},
      {"in the forward pass", carried, activations.forward},
      {"as the backward pass begins", carried, activations.backward},
      {"as the backward pass ends", carried + leaves, activations.backward_end},
      // The norm of a float32 gradient is summed over a copy of it in float64.
      {"at the optimiser's step", sums, fixed.largest_trained * kDoubleBytes},
  }};
  return *std::ranges::max_element(moments, {},
                                   [](const Moment& m) { return m.gradients + m.activations; });
}

std::vector<const data::Sample*> pointers_to(const std::vector<SamplePtr>& samples) {
  std::vector<const data::Sample*> pointers;
  for (const SamplePtr& sample : samples) pointers.push_back(sample.get());
  return pointers;
}

// Samples that wait for their batch, as far as the loader may work ahead.
int64_t waiting_bytes(const TrainConfig& config, const std::vector<SamplePtr>& samples) {
  if (config.run.dataloader_num_workers == 0 || samples.empty()) return 0;
  return static_cast<int64_t>(data::LoaderOptions{}.max_bytes);
}

struct Candidate {
  std::string flags;
  TrainConfig config;
};

std::vector<Candidate> candidates(const TrainConfig& config) {
  std::vector<Candidate> list;
  const auto add = [&](std::string flags, auto&& change) {
    list.push_back({std::move(flags), config});
    change(list.back().config);
  };
  const OptimizationArguments& o = config.optimization;
  if (!o.gradient_checkpointing) {
    add("--gradient_checkpointing True",
        [](TrainConfig& c) { c.optimization.gradient_checkpointing = true; });
  }
  if (o.per_device_train_batch_size > 1) {
    const int32_t batch = (o.per_device_train_batch_size + 1) / 2;
    const int32_t accumulation = o.gradient_accumulation_steps * 2;
    add(fmt::format("--per_device_train_batch_size {} --gradient_accumulation_steps {}", batch,
                    accumulation),
        [&](TrainConfig& c) {
          c.optimization.per_device_train_batch_size = batch;
          c.optimization.gradient_accumulation_steps = accumulation;
        });
  }
  if (!o.bf16 && !o.fp16) {
    add("--bf16 True", [](TrainConfig& c) { c.optimization.bf16 = true; });
  }
  if (!config.lora.lora_enable && !config.model.tune_mm_mlp_adapter) {
    add("--lora_enable True", [](TrainConfig& c) { c.lora.lora_enable = true; });
  }
  if (config.lora.lora_enable && config.lora.bits == 16) {
    add("--bits 4", [](TrainConfig& c) { c.lora.bits = 4; });
  }
  if (config.run.dataloader_num_workers > 0) {
    add("--dataloader_num_workers 0", [](TrainConfig& c) { c.run.dataloader_num_workers = 0; });
  }
  return list;
}

}  // namespace

int64_t MemoryPlan::total() const {
  int64_t sum = 0;
  for (const MemoryPart& part : parts) sum += part.num_bytes;
  return sum;
}

MemoryPlan plan_memory(const PlanInputs& inputs, const TrainConfig& config) {
  const FixedBytes fixed = FixedCounter(inputs, config).run();
  const std::vector<SamplePtr> samples = inputs.largest_batch(config);
  ActivationBytes activations;
  if (!samples.empty()) {
    activations = measure_activations(
        inputs.ctx, config, inputs.shape,
        data::make_flat_batch(pointers_to(samples), config.optimization.model_max_length,
                              config.shares_prefixes()));
  }
  const Moment moment = largest_moment(config, fixed, activations);
  // After the probe: LibTorch's kernels are in memory now, with what they keep.
  use_block_allocator().release_idle();
  const int64_t present = held_by_process();
  const int64_t moments = 2 * fixed.num_trained * kFloatBytes;
  const auto room =
      static_cast<int64_t>(kRoomBetweenBlocks * static_cast<double>(moment.activations));
  const int64_t waiting = waiting_bytes(config, samples);
  MemoryPlan plan{.moment = moment.name,
                  .parts = {{"weights", fixed.weights},
                            {"gradients", moment.gradients},
                            {"optimiser", moments + fixed.masters},
                            {"activations", moment.activations + room},
                            {"caches", waiting + fixed.kept_files},
                            {"program", present}},
                  .present_bytes = present};
  MemoryPlan loading{.moment = "while weights are loaded",
                     .parts = {{"weights", fixed.weights},
                               {"files they come from", fixed.converted},
                               {"program", present}},
                     .present_bytes = present};
  return loading.total() > plan.total() ? loading : plan;
}

std::vector<MemorySaving> memory_savings(const PlanInputs& inputs, const TrainConfig& config,
                                         const MemoryPlan& plan) {
  std::vector<MemorySaving> savings;
  for (const Candidate& candidate : candidates(config)) {
    const MemoryPlan other = plan_memory(inputs, candidate.config);
    const int64_t saved =
        (plan.total() - plan.present_bytes) - (other.total() - other.present_bytes);
    if (saved > 0) savings.push_back({candidate.flags, saved});
  }
  std::ranges::stable_sort(savings, std::ranges::greater{}, &MemorySaving::num_bytes);
  return savings;
}

std::string to_table(const MemoryPlan& plan, std::span<const MemorySaving> savings) {
  std::string text;
  const auto add = [&](std::string_view what, int64_t num_bytes) {
    text += fmt::format("{:>10.1f} MiB  {}\n", static_cast<double>(num_bytes) / kMiB, what);
  };
  for (const MemoryPart& part : plan.parts) add(part.what, part.num_bytes);
  add("in all, " + plan.moment, plan.total());
  for (const MemorySaving& saving : savings) add("less with " + saving.flags, saving.num_bytes);
  return text;
}

void require_memory(const PlanInputs& inputs, const TrainConfig& config, const MemoryPlan& plan) {
  // What a device has left is not asked for.
  if (inputs.ctx.backend.device().type != DeviceType::kCpu) return;
  const auto available = available_memory_bytes();
  if (!available || plan.total() - plan.present_bytes <= *available) return;
  fail(
      ErrorCode::kResourceExhausted,
      "the run needs {:.0f} MiB, but {:.0f} MiB of memory are available:\n{}Choose flags that take "
      "less, close other programs, or choose a smaller model",
      static_cast<double>(plan.total()) / kMiB,
      static_cast<double>(*available + plan.present_bytes) / kMiB,
      to_table(plan, memory_savings(inputs, config, plan)));
}

std::vector<int64_t> largest_batch(const data::OrderOptions& options,
                                   std::span<const int32_t> lengths, int64_t num_batches) {
  data::EpochOrder order(options);
  std::vector<int64_t> largest;
  int64_t most = -1;
  while (num_batches > 0) {
    const std::vector<std::vector<int64_t>> batches =
        data::rank_batches(order.next_order(),
                           {.batch_size = options.batch_size, .world_size = options.world_size}, 0);
    for (const std::vector<int64_t>& batch : batches) {
      if (num_batches-- == 0) return largest;
      int64_t sum = 0;
      for (const int64_t sample : batch) sum += lengths[static_cast<std::size_t>(sample)];
      if (sum <= most) continue;
      most = sum;
      largest = batch;
    }
  }
  return largest;
}

}  // namespace llava::train
