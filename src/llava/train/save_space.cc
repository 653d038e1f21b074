// SPDX-License-Identifier: Apache-2.0
#include "llava/train/save_space.h"

#include <algorithm>

#include "llava/core/disk_space.h"

namespace llava::train {
namespace {

// Configurations, tokenizers, states with the log of a long run, headers of tensors.
constexpr int64_t kSmallFiles = int64_t{4} << 20;

int64_t bytes_of(const at::Tensor& tensor) {
  return tensor.numel() * static_cast<int64_t>(tensor.element_size());
}

int64_t trained_bytes(const ModelToSave& run) {
  int64_t sum = 0;
  for (const TrainedParameter& parameter : run.trainables.parameters) {
    sum += bytes_of(parameter.value);
  }
  return sum;
}

int64_t model_bytes(const ModelToSave& run) {
  int64_t sum = 0;
  model::visit(run.model, {.on_parameter =
                               [&](const std::string&, model::Parameter& parameter) {
                                 if (parameter.value.is_defined()) {
                                   sum += parameter.value.num_bytes();
                                 }
                               },
                           .on_linear = {}});
  return sum;
}

}  // namespace

int64_t result_bytes(const ModelToSave& run) {
  switch (save_mode(run.config)) {
    case SaveMode::kProjector:
      // The file of the original and its twin.
      return 2 * trained_bytes(run) + kSmallFiles;
    case SaveMode::kLora:
      return trained_bytes(run) + kSmallFiles;
    case SaveMode::kFull:
      break;
  }
  return model_bytes(run) + kSmallFiles;
}

int64_t checkpoint_bytes(const ModelToSave& run) {
  int64_t sum = result_bytes(run);
  if (run.config.run.save_only_model) return sum;
  for (const TrainedParameter& parameter : run.trainables.parameters) {
    // The float32 master and its two moments; of several ranks none holds the masters whole.
    sum += 3 * parameter.value.numel() * static_cast<int64_t>(sizeof(float));
  }
  return sum;
}

void require_checkpoint_space(const ModelToSave& run) {
  require_disk_space(run.config.run.output_dir, static_cast<uint64_t>(checkpoint_bytes(run)),
                     "a checkpoint",
                     "make room and start again, which goes on from the checkpoint before; "
                     "--save-total-limit keeps fewer of them, --save-only-model smaller ones");
}

void require_run_space(const ModelToSave& run, int64_t num_checkpoints) {
  int64_t at_once = num_checkpoints;
  if (const auto limit = run.config.run.save_total_limit; limit && *limit > 0) {
    at_once = std::min<int64_t>(at_once, *limit + 1);
  }
  const int64_t bytes = result_bytes(run) + at_once * checkpoint_bytes(run);
  require_disk_space(run.config.run.output_dir, static_cast<uint64_t>(bytes),
                     fmt::format("the result with {} checkpoints", at_once),
                     "make room, choose another --output-dir, keep fewer checkpoints with "
                     "--save-steps or --save-total-limit, or smaller ones with --save-only-model");
}

}  // namespace llava::train
