// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/load_model.h"

#include <algorithm>
#include <set>

#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/merge_adapter.h"
#include "llava/checkpoint/quantize_weights.h"
#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/model/parameter.h"
#include "llava/tensor/ops.h"
#include "llava/tensor/packed.h"

namespace llava::checkpoint {
namespace {

constexpr std::size_t kMaxListed = 5;

bool is_vision_name(std::string_view name) { return name.starts_with(kVisionTowerPrefix); }

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kMaxListed); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kMaxListed) text += fmt::format(" and {} more", names.size() - kMaxListed);
  return text;
}

bool is_projector_name(std::string_view name) {
  return name.find("mm_projector") != std::string_view::npos;
}

// The dtype to hold a parameter in that is stored in another one.
class HeldDtypes {
 public:
  HeldDtypes(const LoadModelOptions& options, bool is_head_tied)
      : options_(options), is_head_tied_(is_head_tied) {}

  DType of(std::string_view name, const Shape& shape, DType stored) const {
    const WeightPart part = weight_part(name, shape, is_head_tied_);
    if (part == WeightPart::kOther) return compute_dtype(name);
    if (const auto form = options_.forms.of(part)) {
      const bool has_as_few_bits =
          is_packed(stored) && packed_code_bits(stored) <= packed_code_bits(*form);
      return has_as_few_bits ? stored : *form;
    }
    if (is_packed(stored) && options_.keeps_packed) return stored;
    const bool is_quantized = options_.keeps_packed || options_.forms.is_quantized();
    if (part == WeightPart::kTable && is_quantized && is_compute_dtype(stored)) return stored;
    return compute_dtype(name);
  }

 private:
  DType compute_dtype(std::string_view name) const {
    if (is_vision_name(name)) return options_.vision_dtype;
    return is_projector_name(name) ? options_.projector_dtype.value_or(options_.dtype)
                                   : options_.dtype;
  }

  const LoadModelOptions& options_;
  bool is_head_tied_;
};

// One parameter and the source it will come from.
struct Assignment {
  std::string name;
  model::Parameter* parameter;
  std::shared_ptr<const TensorSource> source;
};

// Which source fills which parameter; made, and so checked, before anything is read.
class Assignments {
 public:
  Assignments(model::LlavaModel& model, const ModelWeights& weights) {
    assign(model, weights);
    check_adapters(model, weights);
    warn_unexpected(weights);
  }

  const std::vector<Assignment>& entries() const { return entries_; }

 private:
  void assign(model::LlavaModel& model, const ModelWeights& weights) {
    std::vector<std::string> missing;
    model::visit(model, {.on_parameter =
                             [&](const std::string& name, model::Parameter& p) {
                               known_.insert(name);
                               for (const auto& source : weights.sources) {
                                 const auto it = source->tensors().find(name);
                                 if (it == source->tensors().end()) continue;
                                 check_shape(it->second, p.shape);
                                 entries_.push_back({name, &p, source});
                                 return;
                               }
                               if (!p.is_optional) missing.push_back(name);
                             },
                         .on_linear = {}});
    if (missing.empty()) return;
    fail(ErrorCode::kBadFormat,
         "{} of {} tensors are missing from {}: {}: the files are incomplete, or of another "
         "architecture than config.json says",
         missing.size(), known_.size(), list_of(files_of(weights)), list_of(missing));
  }

  static std::vector<std::string> files_of(const ModelWeights& weights) {
    std::set<std::string> files;
    for (const auto& source : weights.sources) {
      for (const auto& [name, info] : source->tensors()) files.insert(info.file);
    }
    return {files.begin(), files.end()};
  }

  static void check_shape(const TensorInfo& info, const Shape& expected) {
    if (info.shape != expected) {
      fail(ErrorCode::kBadFormat,
           "{}: tensor '{}' has shape {}, expected {}: config.json and weights are not of the same "
           "model{}",
           info.file, info.name, to_text(info.shape), to_text(expected),
           info.name.find("mm_projector") != std::string::npos
               ? ", or the base model is not the one the projector was trained for"
               : "");
    }
    if (!is_compute_dtype(info.dtype) && info.dtype != DType::kFloat64 && !is_packed(info.dtype)) {
      fail(ErrorCode::kUnsupported, "{}: tensor '{}' is of type {}, expected a float type",
           info.file, info.name, info.stored_as);
    }
  }

  static void check_adapters(model::LlavaModel& model, const ModelWeights& weights) {
    std::set<std::string> unused;
    for (const auto& [name, adapter] : weights.adapters) unused.insert(name);
    model::visit(model, {.on_parameter = {},
                         .on_linear = [&](const std::string& name, model::Linear& linear) {
                           const auto it = weights.adapters.find(name);
                           if (it == weights.adapters.end()) return;
                           unused.erase(name);
                           check_adapter(name, it->second, linear);
                         }});
    if (unused.empty()) return;
    fail(ErrorCode::kBadFormat,
         "the adapter has weights for layers that the model does not have: {}: it was trained for "
         "another base model",
         list_of({unused.begin(), unused.end()}));
  }

  static void check_adapter(const std::string& name, const model::LoraAdapter& adapter,
                            const model::Linear& linear) {
    const Shape& a = adapter.a_RI.shape();
    const Shape& b = adapter.b_OR.shape();
    if (a.size() == 2 && b.size() == 2 && a[0] == b[1] && a[1] == linear.in_features() &&
        b[0] == linear.out_features()) {
      return;
    }
    fail(
        ErrorCode::kBadFormat,
        "adapter of '{}' has lora_A {} and lora_B {}, expected [r, {}] and [{}, r]: it was trained "
        "for another base model",
        name, to_text(a), to_text(b), linear.in_features(), linear.out_features());
  }

  void warn_unexpected(const ModelWeights& weights) const {
    std::vector<std::string> unexpected;
    for (const auto& source : weights.sources) {
      for (const auto& [name, info] : source->tensors()) {
        if (!known_.contains(name)) unexpected.push_back(name);
      }
    }
    if (unexpected.empty()) return;
    log_warning("unexpected_tensors",
                {{"count", unexpected.size()}, {"names", list_of(unexpected)}});
  }

  std::vector<Assignment> entries_;
  std::set<std::string> known_;
};

class ModelLoader {
 public:
  ModelLoader(Context& ctx, model::LlavaModel& model, const ModelWeights& weights,
              const LoadModelOptions& options)
      : ctx_(ctx),
        model_(model),
        weights_(weights),
        options_(options),
        held_(options, model.config.decoder.is_head_tied) {}

  void run() {
    const Assignments assignments(model_, weights_);
    uint64_t done = 0, total = 0;
    for (const Assignment& entry : assignments.entries()) total += stored_bytes(entry);
    for (const Assignment& entry : assignments.entries()) {
      entry.parameter->value = load(entry);
      done += stored_bytes(entry);
      if (options_.on_progress) options_.on_progress(done, total);
    }
    if (!options_.merges_adapters) attach_adapters();
  }

 private:
  static uint64_t stored_bytes(const Assignment& entry) {
    return static_cast<uint64_t>(entry.source->tensors().at(entry.name).stored_bytes);
  }

  Tensor load(const Assignment& entry) {
    Tensor value = entry.source->load(entry.name);
    const DType held = held_.of(entry.name, value.shape(), value.dtype());
    const model::LoraAdapter* adapter = adapter_to_merge(entry.name);
    if (is_packed(value.dtype()) && (value.dtype() != held || adapter != nullptr)) {
      value = dequantize_matrix(pool(), value);
    }
    if (value.dtype() == DType::kFloat64) value = host_cast(value, DType::kFloat32);
    if (options_.rounds_to_float16 && !is_vision_name(entry.name) && !is_packed(value.dtype())) {
      value = host_cast(value, DType::kFloat16);
    }
    if (adapter != nullptr) value = merge_adapter(value, *adapter);
    if (!is_packed(held)) return ops::cast(ctx_, ops::from_host(ctx_, value), held);
    if (value.dtype() != held) value = quantize_matrix(pool(), value, held).weight;
    return ops::from_host(ctx_, value);
  }

  const model::LoraAdapter* adapter_to_merge(std::string_view name) const {
    constexpr std::string_view kWeight = ".weight";
    if (!options_.merges_adapters || !name.ends_with(kWeight)) return nullptr;
    name.remove_suffix(kWeight.size());
    const auto it = weights_.adapters.find(std::string(name));
    return it == weights_.adapters.end() ? nullptr : &it->second;
  }

  ThreadPool& pool() {
    if (ctx_.pool != nullptr) return *ctx_.pool;
    if (!own_pool_) own_pool_.emplace(1);
    return *own_pool_;
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
  HeldDtypes held_;
  std::optional<ThreadPool> own_pool_;
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
    const Assignments assignments(model, weights);
    return {};
  } catch (const Error& error) {
    return {error.what()};
  }
}

WeightBytes weight_bytes(const model::LlavaConfig& config, const ModelWeights& weights,
                         const LoadModelOptions& options) {
  model::LlavaModel model(config);
  const HeldDtypes held(options, config.decoder.is_head_tied);
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
