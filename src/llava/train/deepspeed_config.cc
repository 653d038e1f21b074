// SPDX-License-Identifier: Apache-2.0
#include "llava/train/deepspeed_config.h"

#include <string>

#include "llava/core/json.h"
#include "llava/core/log.h"

namespace llava::train {
namespace {

// Compares values with the flags and collects what disagrees.
class Matcher {
 public:
  explicit Matcher(std::string_view source) : source_(source) {}

  void match(const Json& block, const std::string& prefix, const std::string& key,
             const std::string& flag, const Json& expected) {
    const auto found = block.find(key);
    if (found == block.end() || is_auto(*found) || *found == expected) return;
    if (found->is_number() && expected.is_number() &&
        found->get<double>() == expected.get<double>()) {
      return;
    }
    problems_ +=
        fmt::format("\n  {}{} is {}, {} is {}", prefix, key, found->dump(), flag, expected.dump());
  }

  void finish() const {
    if (problems_.empty()) return;
    fail(ErrorCode::kInvalidArgument,
         "--deepspeed '{}' disagrees with the flags:{}\nWrite \"auto\" there, or give the same "
         "values",
         source_, problems_);
  }

  static bool is_auto(const Json& value) { return value.is_string() && value == "auto"; }

 private:
  std::string_view source_;
  std::string problems_;
};

const Json& block_of(const Json& json, const char* key, std::string_view source) {
  static const Json kNothing = Json::object();
  const auto found = json.find(key);
  if (found == json.end()) return kNothing;
  if (!found->is_object()) {
    fail(ErrorCode::kBadFormat, "{}: key '{}' is {}, expected an object", source, key,
         found->type_name());
  }
  return *found;
}

void read_optimizer(const Json& json, std::string_view source, const TrainConfig& config,
                    Matcher& matcher, DeepSpeedConfig& result) {
  const Json& block = block_of(json, "optimizer", source);
  if (block.empty()) return;
  const std::string type = block.value("type", "");
  if (type != "AdamW" && type != "Adam") {
    fail(ErrorCode::kUnsupported, "{}: optimizer '{}'; supported is AdamW", source, type);
  }
  result.has_optimizer = true;
  const OptimizationArguments& o = config.optimization;
  const Json& params = block_of(block, "params", source);
  const std::string prefix = "optimizer.params.";
  matcher.match(params, prefix, "lr", "--learning-rate", o.learning_rate);
  matcher.match(params, prefix, "betas", "--adam-beta1 and --adam-beta2",
                Json{o.adam_beta1, o.adam_beta2});
  matcher.match(params, prefix, "eps", "--adam-epsilon", o.adam_epsilon);
  matcher.match(params, prefix, "weight_decay", "--weight-decay", o.weight_decay);
  if (o.mm_projector_lr) {
    log_warning("deepspeed_optimizer",
                {{"effect", "--mm-projector-lr does not apply, nor is there a group without decay"},
                 {"remedy", "take 'optimizer' out of the file"}});
  }
}

void read_scheduler(const Json& json, std::string_view source, const TrainConfig& config,
                    const DeepSpeedRun& run, Matcher& matcher, DeepSpeedConfig& result) {
  const Json& block = block_of(json, "scheduler", source);
  if (block.empty()) return;
  const std::string type = block.value("type", "");
  if (type != "WarmupLR") {
    fail(ErrorCode::kUnsupported,
         "{}: scheduler '{}'; supported is WarmupLR. Take 'scheduler' out of the file for that of "
         "--lr-scheduler-type",
         source, type);
  }
  result.has_warmup_scheduler = true;
  const Json& params = block_of(block, "params", source);
  const std::string prefix = "scheduler.params.";
  matcher.match(params, prefix, "warmup_min_lr", "what fits here", 0);
  matcher.match(params, prefix, "warmup_max_lr", "--learning-rate",
                config.optimization.learning_rate);
  matcher.match(params, prefix, "warmup_num_steps", "the warm-up of the flags",
                run.num_warmup_steps);
  matcher.match(params, prefix, "total_num_steps", "the steps of the flags", run.num_steps);
  log_warning("deepspeed_scheduler",
              {{"effect", "the rate warms up logarithmically and then stays: --lr-scheduler-type " +
                              config.optimization.lr_scheduler_type + " does not apply"},
               {"remedy", "take 'scheduler' out of the file"}});
}

}  // namespace

DeepSpeedConfig read_deepspeed_config(const Json& json, std::string_view source,
                                      const TrainConfig& config, const DeepSpeedRun& run) {
  if (!json.is_object()) {
    fail(ErrorCode::kBadFormat, "{}: is {}, expected an object", source, json.type_name());
  }
  const OptimizationArguments& o = config.optimization;
  DeepSpeedConfig result{.is_given = true};
  Matcher matcher(source);
  matcher.match(json, "", "train_micro_batch_size_per_gpu", "--per-device-train-batch-size",
                o.per_device_train_batch_size);
  matcher.match(json, "", "gradient_accumulation_steps", "--gradient-accumulation-steps",
                o.gradient_accumulation_steps);
  matcher.match(json, "", "train_batch_size", "the product of ranks, batch size and accumulation",
                run.world_size * o.per_device_train_batch_size * o.gradient_accumulation_steps);
  matcher.match(json, "", "gradient_clipping", "--max-grad-norm", o.max_grad_norm);
  matcher.match(block_of(json, "fp16", source), "fp16.", "enabled", "--fp16", o.fp16);
  matcher.match(block_of(json, "bf16", source), "bf16.", "enabled", "--bf16", o.bf16);
  read_optimizer(json, source, config, matcher, result);
  read_scheduler(json, source, config, run, matcher, result);
  matcher.finish();
  if (json.contains("gradient_clipping") && o.max_grad_norm > 0) result.clipping = o.max_grad_norm;
  const Json& zero = block_of(json, "zero_optimization", source);
  const JsonObject stages(zero, source);
  const int64_t stage = stages.get_int("stage").value_or(0);
  if (stage < 0 || stage > 3) stages.wrong_type("stage", "0, 1, 2 or 3");
  if (stage == 3 && config.lora.bits != 16) {
    fail(ErrorCode::kInvalidArgument,
         "{}: zero_optimization.stage 3 spreads a base over processes, which one of --bits {} "
         "cannot "
         "be: give a file of stage 2",
         source, config.lora.bits);
  }
  result.zero_stage = static_cast<int32_t>(stage);
  result.offloads = zero.contains("offload_optimizer") || zero.contains("offload_param");
  return result;
}

DeepSpeedConfig open_deepspeed_config(const TrainConfig& config, const DeepSpeedRun& run) {
  if (config.run.deepspeed.empty()) {
    DeepSpeedConfig result;
    if (config.optimization.max_grad_norm > 0) result.clipping = config.optimization.max_grad_norm;
    return result;
  }
  return read_deepspeed_config(read_json_file(config.run.deepspeed), config.run.deepspeed, config,
                               run);
}

}  // namespace llava::train
