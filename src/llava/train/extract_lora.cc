// SPDX-License-Identifier: Apache-2.0
#include "llava/train/extract_lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/matmul.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "llava/backend/torch/torch_tensor.h"
#include "llava/checkpoint/held_weights.h"
#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/safetensors.h"
#include "llava/checkpoint/sharded.h"
#include "llava/checkpoint/torch_zip_writer.h"
#include "llava/checkpoint/vision_tower_folder.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/train/base_model.h"

namespace llava::train {
namespace {

namespace fs = std::filesystem;
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;
using SourcePtr = std::shared_ptr<const checkpoint::TensorSource>;

constexpr std::string_view kPrefix = "base_model.model.";
constexpr const char* kTowerFolder = "vision_tower";

bool is_adapted(const std::string& name) {
  return name.starts_with("model.layers.") && name.ends_with("_proj.weight");
}

class Extraction {
 public:
  explicit Extraction(const ExtractLoraRequest& request)
      : request_(request),
        dtype_(*dtype_from_name(request.dtype)),
        trained_(checkpoint::rename_source(
            checkpoint::open_weights(request.model_path),
            [](std::string_view key) { return std::optional(checkpoint::canonical_name(key)); })),
        base_(open_base_weights(request.model_base)) {}

  ExtractLoraReport run(const fs::path& folder, const ProgressCallback& on_progress) {
    const at::NoGradGuard no_grad;
    uint64_t done = 0;
    for (const auto& [name, info] : trained_->tensors()) {
      take(name);
      if (on_progress) on_progress(++done, trained_->tensors().size());
    }
    if (adapters_.empty()) {
      fail(ErrorCode::kBadFormat,
           "--model-path '{}' has no linear layers of a decoder that differ from the base: it is "
           "not what was trained",
           request_.model_path);
    }
    report_.mean_kept /= static_cast<double>(report_.num_adapters);
    write(folder);
    return report_;
  }

 private:
  void take(const std::string& name) {
    const Tensor value = trained_->load(name);
    const bool is_in_base = base_->tensors().contains(name);
    if (!is_in_base) {
      // A tied head that was written out is the table.
      if (name == "lm_head.weight") return;
      if (!checkpoint::is_vision_name(name)) add(others_, std::string(kPrefix) + name, value);
      return;
    }
    const Tensor before = host_cast(host_to_float32(base_->load(name)), value.dtype());
    if (before.shape() != value.shape()) {
      fail(ErrorCode::kBadFormat,
           "tensor '{}' has shape {} in --model-path and {} in --model-base: they are not the same "
           "model",
           name, to_text(value.shape()), to_text(before.shape()));
    }
    if (at::equal(to_at(before), to_at(value))) return;
    if (is_adapted(name)) {
      decompose(name, to_at(value).to(at::kFloat) - to_at(before).to(at::kFloat));
    } else {
      add(others_, std::string(kPrefix) + name, value);
    }
  }

  void decompose(const std::string& name, const at::Tensor& difference_OI) {
    const at::Tensor wide_OI = difference_OI.to(at::kDouble);
    // The smaller side's products have the same singular vectors, and the largest values, which are
    // wanted alone, are exact enough: many times faster than the decomposition itself.
    const bool has_less_rows = wide_OI.size(0) <= wide_OI.size(1);
    const at::Tensor small_NM = has_less_rows ? wide_OI : wide_OI.t();
    const auto [squares_N, vectors_NN] = at::linalg_eigh(at::matmul(small_NM, small_NM.t()));
    const int64_t rank = std::min<int64_t>(request_.lora_r, squares_N.size(0));
    const int64_t first = squares_N.size(0) - rank;
    const at::Tensor values_R = squares_N.narrow(0, first, rank).clamp_min(1e-30).sqrt();
    const at::Tensor vectors_NR = vectors_NN.narrow(1, first, rank);
    const at::Tensor left_NR = vectors_NR * values_R.sqrt().unsqueeze(0);
    const at::Tensor right_RM = at::matmul(vectors_NR.t(), small_NM) / values_R.sqrt().unsqueeze(1);
    const at::Tensor a_RI = has_less_rows ? right_RM : left_NR.t();
    const at::Tensor b_OR = has_less_rows ? left_NR : right_RM.t();
    const std::string layer = name.substr(0, name.size() - std::string_view(".weight").size());
    const std::string target = std::string(kPrefix) + layer;
    add(adapters_, target + ".lora_A.weight", from_at(a_RI.to(at::kFloat).contiguous()));
    add(adapters_, target + ".lora_B.weight", from_at(b_OR.to(at::kFloat).contiguous()));
    targets_.insert(layer.substr(layer.rfind('.') + 1));
    const double kept =
        (values_R.square().sum() / wide_OI.square().sum().clamp_min(1e-30)).item<double>();
    report_.least_kept = report_.num_adapters == 0 ? kept : std::min(report_.least_kept, kept);
    report_.mean_kept += kept;
    ++report_.num_adapters;
  }

  void add(NamedTensors& list, std::string name, const Tensor& value) {
    list.emplace_back(std::move(name), host_cast(value, dtype_));
    report_.bytes += list.back().second.num_bytes();
  }

  void write(const fs::path& folder) {
    report_.num_others = static_cast<int64_t>(others_.size());
    checkpoint::write_safetensors(folder / "adapter_model.safetensors", adapters_,
                                  {{"format", "pt"}});
    checkpoint::write_torch_zip(folder / "non_lora_trainables.bin", others_);
    const Json adapter = {{"base_model_name_or_path", request_.model_base},
                          {"bias", "none"},
                          {"fan_in_fan_out", false},
                          {"inference_mode", true},
                          {"init_lora_weights", true},
                          {"lora_alpha", request_.lora_r},
                          {"lora_dropout", 0.0},
                          {"modules_to_save", nullptr},
                          {"peft_type", "LORA"},
                          {"r", request_.lora_r},
                          {"target_modules", targets_},
                          {"task_type", "CAUSAL_LM"}};
    write_json(folder / "adapter_config.json", adapter);
    const fs::path source = fs::path(request_.model_path) / "config.json";
    Json config = read_json_file(source);
    config["torch_dtype"] = request_.dtype;
    config["_name_or_path"] = request_.model_base;
    config.erase("unfreeze_mm_vision_tower");
    if (request_.include_vision_tower) copy_tower(folder, config);
    write_json(folder / "config.json", config);
  }

  void copy_tower(const fs::path& folder, Json& config) {
    const fs::path source =
        checkpoint::resolve_vision_tower({.name = config.value("mm_vision_tower", ""),
                                          .checkpoint_folder = request_.model_path,
                                          .explicit_folder = {},
                                          .models_root = {}});
    config["mm_vision_tower"] = kTowerFolder;
    const fs::path target = folder / kTowerFolder;
    fs::create_directories(target);
    Json tower = read_json_file(source / "config.json");
    tower["torch_dtype"] = request_.dtype;
    write_json(target / "config.json", tower);
    fs::copy_file(source / "preprocessor_config.json", target / "preprocessor_config.json");
    const SourcePtr weights = checkpoint::open_weights(source);
    NamedTensors tensors;
    for (const auto& [name, info] : weights->tensors()) add(tensors, name, weights->load(name));
    checkpoint::write_safetensors(target / "model.safetensors", tensors, {{"format", "pt"}});
  }

  static void write_json(const fs::path& path, const Json& json) {
    write_file_atomically(path, to_text(json, 2) + "\n");
  }

  const ExtractLoraRequest& request_;
  DType dtype_;
  SourcePtr trained_, base_;
  NamedTensors adapters_, others_;
  std::set<std::string> targets_;
  ExtractLoraReport report_;
};

}  // namespace

ExtractLoraReport extract_lora(const ExtractLoraRequest& request,
                               const ProgressCallback& on_progress) {
  const fs::path target = fs::path(request.save_model_path).lexically_normal();
  if (fs::exists(target) && !fs::is_empty(target)) {
    fail(ErrorCode::kInvalidArgument,
         "--save-model-path '{}' is there already: choose another folder", target.string());
  }
  // Whole under its name, or not at all.
  fs::path staging = target;
  staging += ".part";
  fs::remove_all(staging);
  fs::create_directories(staging);
  ExtractLoraReport report = Extraction(request).run(staging, on_progress);
  fs::remove(target);
  fs::rename(staging, target);
  report.output = target.string();
  return report;
}

}  // namespace llava::train
