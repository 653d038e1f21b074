// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/weight_assignment.h"

#include <algorithm>
#include <set>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/log.h"

namespace llava::checkpoint {
namespace {

constexpr std::size_t kMaxListed = 5;

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kMaxListed); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kMaxListed) text += fmt::format(" and {} more", names.size() - kMaxListed);
  return text;
}

class Assignments {
 public:
  Assignments(model::LlavaModel& model, const ModelWeights& weights) {
    assign(model, weights);
    check_adapters(model, weights);
    warn_unexpected(weights);
  }

  std::vector<WeightAssignment> take() { return std::move(entries_); }

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

  std::vector<WeightAssignment> entries_;
  std::set<std::string> known_;
};

}  // namespace

std::vector<WeightAssignment> assign_weights(model::LlavaModel& model,
                                             const ModelWeights& weights) {
  return Assignments(model, weights).take();
}

}  // namespace llava::checkpoint
