// SPDX-License-Identifier: Apache-2.0
#include "llava/train/run_state.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <memory>
#include <utility>

#include "llava/backend/torch/torch_tensor.h"
#include "llava/checkpoint/safetensors.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/core/log.h"
#include "llava/train/save_space.h"

namespace llava::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCheckpointPrefix = "checkpoint-";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kRunFile = "run_state.json";
constexpr const char* kArgumentsFile = "training_args.json";
constexpr const char* kTrainerFile = "trainer_state.json";

// Flags that a resumed run may change: they say where and how things are shown, kept or computed,
// not what is computed; and those that cut the data, which go on at the same sample.
constexpr std::array<std::string_view, 36> kFreeFlags{"output-dir",
                                                      "overwrite-output-dir",
                                                      "logging-strategy",
                                                      "logging-steps",
                                                      "logging-first-step",
                                                      "save-strategy",
                                                      "save-steps",
                                                      "save-total-limit",
                                                      "save-safetensors",
                                                      "save-only-model",
                                                      "evaluation-strategy",
                                                      "eval-steps",
                                                      "eval-data-path",
                                                      "eval-predictions",
                                                      "memory-plan",
                                                      "report-to",
                                                      "run-name",
                                                      "resume-from-checkpoint",
                                                      "ignore-data-skip",
                                                      "cache-dir",
                                                      "dataloader-num-workers",
                                                      "dataloader-pin-memory",
                                                      "dataloader-persistent-workers",
                                                      "disable-tqdm",
                                                      "local-rank",
                                                      "num-processes",
                                                      "ddp-timeout",
                                                      "per-device-train-batch-size",
                                                      "gradient-accumulation-steps",
                                                      "threads",
                                                      "skip-data-check",
                                                      "lazy-preprocess",
                                                      "data-seed",
                                                      "is-multimodal",
                                                      "remove-unused-columns",
                                                      "on-nonfinite"};

template <class T>
Json or_null(const std::optional<T>& value) {
  Json json;
  if (value) json = *value;
  return json;
}

// Collects the described fields.
struct JsonFields {
  Json& json;

  template <class T>
  void field(const std::string& name, const T& value, const std::string&,
             const Constraint<T>& = {}) {
    json[name] = value;
  }
  template <class T>
  void field(const std::string& name, const std::optional<T>& value, const std::string&,
             const Constraint<T>& = {}) {
    json[name] = or_null(value);
  }
};

void write_json(const fs::path& path, const Json& json) {
  write_file_atomically(path, to_text(json, 2) + "\n");
}

// N of "checkpoint-N"; nothing for other names.
std::optional<int64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (!name.starts_with(kCheckpointPrefix)) return std::nullopt;
  const std::string digits = name.substr(kCheckpointPrefix.size());
  int64_t step = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return step;
}

std::vector<fs::path> checkpoints_in(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_directory() && step_of(entry.path())) found.push_back(entry.path());
  }
  std::ranges::sort(found, std::ranges::less{}, [](const fs::path& p) { return *step_of(p); });
  return found;
}

Json to_json(const BatchShape& shape) {
  return {{"batch_size", shape.batch_size},
          {"batches_per_round", shape.batches_per_round},
          {"accumulation", shape.accumulation}};
}

BatchShape batch_shape(const Json& json) {
  BatchShape shape{.batch_size = json.at("batch_size").get<int32_t>(),
                   .batches_per_round = json.at("batches_per_round").get<int32_t>(),
                   .accumulation = json.at("accumulation").get<int32_t>()};
  if (shape.batch_size < 1 || shape.batches_per_round < 1 || shape.accumulation < 1) {
    fail(ErrorCode::kBadFormat, "batches of a run are {}, expected at least 1 of each",
         json.dump());
  }
  return shape;
}

Json run_json(const RunState& state, int64_t num_steps) {
  const Progress& progress = state.progress;
  return {{"format", 1},
          {"global_step", progress.global_step},
          {"num_steps", num_steps},
          {"num_processes", state.shape.num_processes},
          {"batches", to_json(state.shape.batches)},
          {"order", to_json(state.shape.order)},
          {"micro_step", progress.micro_step},
          {"num_batches", progress.num_batches},
          {"first_sample", progress.first_sample},
          {"epoch", progress.epoch},
          {"epoch_batch", progress.epoch_batch},
          {"epochs_done", progress.epochs_done},
          {"total_flos", progress.total_flos},
          {"losses", state.losses.save()},
          {"loss_scale", state.scale.save()},
          {"best_step", progress.best_step},
          {"evaluations_since_best", progress.evaluations_since_best},
          {"skipped_steps", progress.skipped_steps},
          {"optimizer_steps", state.optimizer.num_steps()},
          {"best_metric", or_null(progress.best_metric)},
          {"best_checkpoint", progress.best_checkpoint}};
}

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// Masters and moments of all parameters, put together on rank 0; nothing on the others.
NamedTensors collect_optimizer(const RunState& state, Backend& backend) {
  std::vector<at::Tensor> masters;
  for (const TrainedParameter& part : state.shards.owned()) masters.push_back(part.master.detach());
  NamedTensors tensors;
  const auto add = [&](const std::string& kind, const std::vector<at::Tensor>& of_owned) {
    const std::vector<at::Tensor> wholes = state.shards.collect(of_owned);
    for (std::size_t i = 0; i < wholes.size(); ++i) {
      tensors.emplace_back(kind + state.trainables.parameters[i].name,
                           backend.to_host(from_at(wholes[i])));
    }
  };
  add("master.", masters);
  add("exp_avg.", state.optimizer.first_moments());
  add("exp_avg_sq.", state.optimizer.second_moments());
  return tensors;
}

// Copies tensors of a checkpoint's optimizer file over those of the run.
class OptimizerReader {
 public:
  explicit OptimizerReader(fs::path file)
      : file_(std::move(file)), source_(checkpoint::SafetensorsFile::open(file_)) {}

  // The tensor of a name, float32 and of this shape.
  at::Tensor load(const std::string& name, at::IntArrayRef sizes) const {
    const Shape shape(sizes.begin(), sizes.end());
    const auto found = source_->tensors().find(name);
    if (found == source_->tensors().end()) {
      fail(ErrorCode::kBadFormat, "'{}' has no tensor '{}': the checkpoint is of another run",
           file_.string(), name);
    }
    if (found->second.shape != shape || found->second.dtype != DType::kFloat32) {
      fail(ErrorCode::kBadFormat, "'{}': tensor '{}' is {} {}, expected float32 {}", file_.string(),
           name, dtype_name(found->second.dtype), to_text(found->second.shape), to_text(shape));
    }
    return to_at(source_->load(name));
  }

  void restore_values(Trainables& trainables) const {
    const at::NoGradGuard no_grad;
    for (TrainedParameter& parameter : trainables.parameters) {
      parameter.value.detach().copy_(load("master." + parameter.name, parameter.value.sizes()));
    }
  }

  // What this rank's optimiser has, of the parts that it owns.
  void restore_owned(RunState& state) const {
    const at::NoGradGuard no_grad;
    std::vector<TrainedParameter>& owned = state.shards.owned();
    for (std::size_t i = 0; i < owned.size(); ++i) {
      const TrainedParameter& whole = state.trainables.parameters[state.shards.parameter_of(i)];
      const auto restore = [&](const std::string& kind, const at::Tensor& target) {
        target.detach().copy_(
            state.shards.part_of_whole(i, load(kind + whole.name, whole.value.sizes())));
      };
      restore("master.", owned[i].master);
      restore("exp_avg.", state.optimizer.first_moments()[i]);
      restore("exp_avg_sq.", state.optimizer.second_moments()[i]);
    }
  }

 private:
  fs::path file_;
  std::shared_ptr<const checkpoint::SafetensorsFile> source_;
};

void delete_old_checkpoints(const TrainConfig& config, const Progress& progress) {
  if (!config.run.save_total_limit || *config.run.save_total_limit < 1) return;
  std::vector<fs::path> checkpoints = checkpoints_in(config.run.output_dir);
  std::erase_if(checkpoints, [&](const fs::path& folder) {
    return folder.string() == progress.best_checkpoint;
  });
  const auto limit =
      static_cast<std::size_t>(*config.run.save_total_limit) -
      (progress.best_checkpoint.empty() || *config.run.save_total_limit == 1 ? 0 : 1);
  if (checkpoints.size() <= limit) return;
  checkpoints.resize(checkpoints.size() - limit);
  for (const fs::path& folder : checkpoints) {
    std::error_code error;
    fs::remove_all(folder, error);
    if (error)
      log_warning("checkpoint_stays", {{"folder", folder.string()}, {"error", error.message()}});
  }
}

// Why a run cannot go on from this folder; nothing if it can.
std::optional<std::string> obstacle(const fs::path& folder) {
  for (const char* name : {kRunFile, kOptimizerFile, kArgumentsFile}) {
    if (fs::exists(folder / name)) continue;
    return fmt::format(
        "it has no {}: it is from the original software or made with --save-only-model, and "
        "resuming would silently start optimiser and projector anew",
        name);
  }
  return std::nullopt;
}

}  // namespace

Json to_json(const TrainConfig& config) {
  Json json = Json::object();
  JsonFields fields{json};
  TrainConfig copy = config;
  copy.describe(fields);
  return json;
}

namespace {

// The published library's interval where none is asked for.
constexpr double kDefaultEvalSteps = 500;

// A count as the published file has it: without a fraction unless it is one.
Json number(double value) {
  if (value == std::floor(value)) return static_cast<int64_t>(value);
  return value;
}

double eval_steps_of(const RunArguments& run) {
  if (run.eval_steps > 0) return run.eval_steps;
  return run.evaluation_strategy == "steps" ? run.logging_steps : kDefaultEvalSteps;
}

}  // namespace

Json trainer_state(const TrainConfig& config, const Progress& progress, int64_t num_steps,
                   int64_t num_epochs) {
  return {{"best_metric", or_null(progress.best_metric)},
          {"best_model_checkpoint",
           or_null(progress.best_checkpoint.empty() ? std::nullopt
                                                    : std::optional(progress.best_checkpoint))},
          {"epoch", progress.epochs_done},
          {"eval_steps", number(eval_steps_of(config.run))},
          {"global_step", progress.global_step},
          {"is_hyper_param_search", false},
          {"is_local_process_zero", true},
          {"is_world_process_zero", true},
          {"log_history", progress.log_history},
          {"logging_steps", number(config.run.logging_steps)},
          {"max_steps", num_steps},
          {"num_input_tokens_seen", 0},
          {"num_train_epochs", num_epochs},
          {"save_steps", number(config.run.save_steps)},
          {"total_flos", progress.total_flos},
          {"train_batch_size", config.optimization.per_device_train_batch_size},
          {"trial_name", nullptr},
          {"trial_params", nullptr}};
}

namespace {

// A folder in the making, which goes away again when that fails: the disk may be full of it.
class Staging {
 public:
  explicit Staging(fs::path folder) : folder_(std::move(folder)) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~Staging() {
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  void become(const fs::path& target) {
    fs::remove_all(target);
    fs::rename(folder_, target);
    folder_.clear();
  }

 private:
  fs::path folder_;
};

void write_checkpoint(const CheckpointOwner& owner, RunState& state, int64_t num_steps,
                      int64_t num_epochs) {
  const TrainConfig& config = owner.config;
  const fs::path output = config.run.output_dir;
  const std::string name = fmt::format("{}{}", kCheckpointPrefix, state.progress.global_step);
  const fs::path staging = output / ("tmp-" + name);
  if (state.progress.best_metric && state.progress.best_step == state.progress.global_step) {
    state.progress.best_checkpoint = (output / name).string();
  }
  NamedTensors optimizer;
  if (!config.run.save_only_model) optimizer = collect_optimizer(state, owner.backend);
  if (!state.group.is_first()) return;
  Staging made(staging);
  owner.write_files(staging);
  write_json(staging / kTrainerFile, trainer_state(config, state.progress, num_steps, num_epochs));
  write_json(staging / kArgumentsFile, to_json(config));
  if (!config.run.save_only_model) {
    checkpoint::write_safetensors(staging / kOptimizerFile, optimizer);
    write_json(staging / kRunFile, run_json(state, num_steps));
  }
  made.become(output / name);
  delete_old_checkpoints(config, state.progress);
}

}  // namespace

void save_checkpoint(const CheckpointOwner& owner, RunState& state, int64_t num_steps,
                     int64_t num_epochs) {
  try {
    write_checkpoint(owner, state, num_steps, num_epochs);
  } catch (const fs::filesystem_error& error) {
    fail(ErrorCode::kResourceExhausted, "a checkpoint could not be written: {}", error.what());
  }
}

void save_checkpoint(const ModelToSave& model, RunState& state, int64_t num_steps,
                     int64_t num_epochs) {
  if (state.group.is_first()) require_checkpoint_space(model);
  save_checkpoint({.config = model.config,
                   .backend = model.backend,
                   .write_files =
                       [&model](const fs::path& folder) {
                         write_model_files(folder, model, /*is_final=*/false);
                       }},
                  state, num_steps, num_epochs);
}

std::optional<fs::path> find_checkpoint(const TrainConfig& config) {
  fs::path folder = config.run.resume_from_checkpoint;
  const bool is_named = !folder.empty() && folder != "True" && folder != "true";
  if (!is_named) {
    if (config.run.overwrite_output_dir) return std::nullopt;
    const std::vector<fs::path> checkpoints = checkpoints_in(config.run.output_dir);
    if (checkpoints.empty()) return std::nullopt;
    folder = checkpoints.back();
  } else if (!fs::is_directory(folder)) {
    fail(ErrorCode::kNotFound, "--resume-from-checkpoint '{}' is no folder", folder.string());
  }
  if (const auto reason = obstacle(folder)) {
    fail(ErrorCode::kInvalidArgument,
         "cannot resume from '{}': {}. Give another --output-dir, or --overwrite-output-dir to "
         "start anew",
         folder.string(), *reason);
  }
  return folder;
}

int64_t step_of_checkpoint(const fs::path& folder) { return step_of(folder).value_or(0); }

SavedShape read_saved_shape(const fs::path& folder) {
  const Json run = read_json_file(folder / kRunFile);
  try {
    return {.num_processes = run.at("num_processes").get<int32_t>(),
            .batches = batch_shape(run.at("batches")),
            .order = batch_shape(run.at("order")),
            .num_steps = run.at("num_steps").get<int64_t>(),
            .global_step = run.at("global_step").get<int64_t>(),
            .epoch = run.at("epoch").get<int64_t>(),
            .first_sample = run.at("first_sample").get<int64_t>() +
                            run.at("epoch_batch").get<int64_t>() *
                                batch_shape(run.at("batches")).samples_per_round()};
  } catch (const Json::exception& e) {
    fail(ErrorCode::kBadFormat, "'{}': {}: the checkpoint is damaged; resume from another one",
         (folder / kRunFile).string(), e.what());
  }
}

int64_t resumed_num_steps(const SavedShape& saved, const DataShape& now, const StepPlan& plan,
                          int64_t rounds_left, double num_epochs) {
  if (saved.batches.samples_per_step() == now.batches.samples_per_step()) return saved.num_steps;
  const auto steps_of = [&](double epochs) {
    return static_cast<int64_t>(std::ceil(epochs * static_cast<double>(plan.steps_per_epoch)));
  };
  const double epochs_left = num_epochs - static_cast<double>(saved.epoch);
  if (epochs_left < 1.0) {
    const double done = std::min(
        1.0, static_cast<double>(saved.first_sample) / static_cast<double>(now.num_samples));
    return saved.global_step + steps_of(std::max(0.0, epochs_left - done));
  }
  const int64_t rest_of_epoch =
      std::min(plan.steps_per_epoch,
               (rounds_left + now.batches.accumulation - 1) / now.batches.accumulation);
  return saved.global_step + rest_of_epoch + steps_of(epochs_left - 1.0);
}

void load_checkpoint(const fs::path& folder, const TrainConfig& config, RunState& state) {
  const Json saved_arguments = read_json_file(folder / kArgumentsFile);
  std::string differences;
  const Json arguments = to_json(config);
  for (const auto& [name, value] : arguments.items()) {
    if (std::ranges::find(kFreeFlags, name) != kFreeFlags.end()) continue;
    const Json saved = saved_arguments.value(name, Json());
    if (saved != value) {
      differences += fmt::format("\n  --{}: {} then, {} now", name, saved.dump(), value.dump());
    }
  }
  if (!differences.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' was made with another configuration:{}\nGive the flags it was made with, another "
         "--output-dir, or --overwrite-output-dir to start anew",
         folder.string(), differences);
  }
  const Json run = read_json_file(folder / kRunFile);
  const Json trainer = read_json_file(folder / kTrainerFile);
  try {
    Progress& progress = state.progress;
    progress.global_step = run.at("global_step").get<int64_t>();
    progress.micro_step = run.at("micro_step").get<int64_t>();
    progress.num_batches = run.at("num_batches").get<int64_t>();
    progress.first_sample = run.at("first_sample").get<int64_t>();
    progress.epoch = run.at("epoch").get<int64_t>();
    progress.epoch_batch = run.at("epoch_batch").get<int64_t>();
    progress.epochs_done = run.at("epochs_done").get<double>();
    progress.total_flos = run.at("total_flos").get<double>();
    progress.log_history = trainer.at("log_history");
    if (!run.at("best_metric").is_null())
      progress.best_metric = run.at("best_metric").get<double>();
    progress.best_checkpoint = run.at("best_checkpoint").get<std::string>();
    progress.best_step = run.at("best_step").get<int64_t>();
    progress.evaluations_since_best = run.at("evaluations_since_best").get<int64_t>();
    progress.skipped_steps = run.at("skipped_steps").get<int64_t>();
    state.losses.restore(run.at("losses"));
    state.scale.restore(run.at("loss_scale"));
    state.optimizer.set_num_steps(run.at("optimizer_steps").get<int64_t>());
  } catch (const Json::exception& e) {
    fail(ErrorCode::kBadFormat, "'{}': {}: the checkpoint is damaged; resume from another one",
         folder.string(), e.what());
  }
  const SavedShape saved = read_saved_shape(folder);
  if (saved.batches != state.shape.batches) {
    // Rounds are counted anew from the sample that the old ones have come to.
    Progress& progress = state.progress;
    progress.first_sample = std::min(saved.first_sample, state.shape.num_samples);
    progress.epoch_batch = 0;
    progress.micro_step = 0;
  }
  const OptimizerReader reader(folder / kOptimizerFile);
  reader.restore_values(state.trainables);
  reader.restore_owned(state);
}

void load_weights(const fs::path& folder, Trainables& trainables) {
  OptimizerReader(folder / kOptimizerFile).restore_values(trainables);
}

}  // namespace llava::train
