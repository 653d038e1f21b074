// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/quantize/quantize.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include "llava/checkpoint/held_weights.h"
#include "llava/checkpoint/packed_store.h"
#include "llava/checkpoint/weight_assignment.h"
#include "llava/core/disk_space.h"
#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/core/version.h"
#include "llava/engine/checkpoint_images.h"
#include "llava/engine/checkpoint_weights.h"
#include "llava/engine/memory.h"
#include "llava/engine/output_folder.h"
#include "llava/engine/quantize/calibration.h"
#include "llava/engine/quantize/gguf_output.h"
#include "llava/engine/quantize/store_folder.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;
using checkpoint::HeldWeight;
using checkpoint::Layout;
using checkpoint::LoadModelOptions;
using checkpoint::PlannedTensor;
using checkpoint::WeightAssignment;
using checkpoint::WeightPart;

std::string_view part_name(WeightPart part) {
  switch (part) {
    case WeightPart::kLanguage:
      return "language";
    case WeightPart::kHead:
      return "head";
    case WeightPart::kTable:
      return "embeddings";
    case WeightPart::kProjector:
      return "projector";
    case WeightPart::kVision:
      return "vision";
    case WeightPart::kOther:
      break;
  }
  return "other";
}

std::optional<DType> form_of(const std::string& flag) {
  const auto dtype = dtype_from_name(flag);
  return dtype && is_packed(*dtype) ? dtype : std::nullopt;
}

// The type a part computes in: its own, or float32 where its matrices are packed.
DType compute_type_of(const std::string& flag) {
  const auto dtype = dtype_from_name(flag);
  return dtype && is_compute_dtype(*dtype) ? *dtype : DType::kFloat32;
}

// What the flags say, as the loader understands it.
LoadModelOptions options_of(const QuantizeRequest& request, std::optional<DType> stored_table) {
  LoadModelOptions options;
  options.merges_adapters = true;
  options.dtype = compute_type_of(request.lm);
  options.forms.language = form_of(request.lm);
  const bool is_packed_model = options.forms.language.has_value();
  const std::string head = request.head != "auto" ? request.head
                           : is_packed_model      ? "q8"
                                                  : request.lm;
  options.forms.head = form_of(head);
  if (!options.forms.head && compute_type_of(head) != options.dtype) {
    fail(ErrorCode::kInvalidArgument,
         "--head {} does not go with --lm {}: a head that is not packed has the type the language "
         "model computes in, {}",
         head, request.lm, dtype_name(options.dtype));
  }
  if (request.embeddings != "auto") {
    options.forms.table = form_of(request.embeddings);
    if (!options.forms.table) options.table_dtype = compute_type_of(request.embeddings);
  } else if (stored_table && is_packed(*stored_table)) {
    options.forms.table = stored_table;
  } else if (is_packed_model && stored_table && is_compute_dtype(*stored_table)) {
    options.table_dtype = stored_table;
  }
  const std::string projector = request.projector != "auto" ? request.projector
                                : is_packed_model           ? "q8"
                                                            : request.lm;
  options.forms.projector = form_of(projector);
  options.projector_dtype = compute_type_of(projector);
  options.forms.vision = form_of(request.vision);
  options.vision_dtype = compute_type_of(request.vision);
  return options;
}

// What --force may replace.
bool is_store(const fs::path& folder) {
  return fs::is_directory(folder) &&
         (fs::exists(folder / checkpoint::kPackedStoreFile) || fs::exists(folder / kGgufModelFile));
}

void check_output(const std::string& output, bool force) {
  const fs::path target = output_path(output, "--output");
  if (!fs::exists(fs::symlink_status(target)) || (force && is_store(target))) return;
  fail(ErrorCode::kInvalidArgument, "--output '{}' exists{}", target.string(),
       is_store(target) ? ": choose another folder, or give --force to replace it"
                        : " and is no packed store, which --force would replace: choose another "
                          "folder");
}

class Quantization {
 public:
  Quantization(ThreadPool& pool, const QuantizeRequest& request, InputMeanSquares importances)
      : pool_(pool),
        importances_(std::move(importances)),
        request_(request),
        place_(locate_checkpoint(request.model_path, request.model_base, request.model_name)) {
    load_request_.vision_tower = request.vision_tower;
    text_ = read_checkpoint_text(place_);
    if (place_.description.config.has_vision) {
      if (place_.description.layout != Layout::kHuggingFace) {
        tower_folder_ = locate_vision_tower(place_, request.vision_tower);
      }
      processor_ = read_checkpoint_images(place_, tower_folder_, {}).processor;
    }
    weights_ = open_checkpoint_weights(place_, load_request_, tower_folder_,
                                       text_.tokenizer->size(), &pool);
    model::validate(place_.description.config);
    model_.emplace(place_.description.config);
    assignments_ = checkpoint::assign_weights(*model_, weights_.model);
    options_ = options_of(request, stored_table());
    plan();
  }

  QuantizeReport run(const ProgressCallback& on_progress) {
    const auto start = std::chrono::steady_clock::now();
    require_memory(peak_bytes_, fmt::format("quantising '{}' tensor by tensor", place_.name));
    check_output(request_.output, request_.force);
    OutputFolder output(output_path(request_.output, "--output"));
    QuantizeReport report{.output = request_.output};
    if (request_.format == "gguf") {
      GgufOutput writer(output.folder(), {place_, text_, processor_}, plan_);
      write_all(output, writer, report, on_progress,
                [&](const std::string& name, const Tensor& value) { writer.write(name, value); });
    } else {
      checkpoint::PackedStoreWriter writer(output.folder() / checkpoint::kPackedStoreFile, plan_,
                                           metadata());
      write_store_folder(output.folder(), place_, tower_folder_, text_);
      write_all(output, writer, report, on_progress,
                [&](const std::string&, const Tensor& value) { writer.write(value); });
      check(output.folder());
    }
    output.finish();
    report.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  }

 private:
  bool is_head_tied() const { return place_.description.config.decoder.is_head_tied; }

  std::optional<DType> stored_table() const {
    for (const WeightAssignment& assignment : assignments_) {
      if (assignment.name == "model.embed_tokens.weight") return assignment.info().dtype;
    }
    return std::nullopt;
  }

  void plan() {
    const checkpoint::HeldDtypes held(weights_.model, options_, is_head_tied());
    for (const WeightAssignment& assignment : assignments_) {
      const checkpoint::TensorInfo& info = assignment.info();
      const DType dtype = held.of(assignment.name, info.shape, info.dtype);
      plan_.push_back({assignment.name, info.shape, dtype});
      // In float32 as read, rounded or merged beside it, and packed.
      const int64_t floats = tensor_bytes(info.shape, DType::kFloat32);
      peak_bytes_ = std::max(peak_bytes_, 2 * floats + plan_.back().num_bytes());
    }
  }

  std::map<std::string, std::string> metadata() const {
    return {{"producer", fmt::format("llava {}", kVersion)},
            {"source", place_.name},
            {"lm", request_.lm},
            {"dtype", std::string(dtype_name(options_.dtype))},
            {"vision_dtype", std::string(dtype_name(options_.vision_dtype))},
            {"projector_dtype", std::string(dtype_name(*options_.projector_dtype))}};
  }

  template <class Writer>
  void write_all(const OutputFolder& output, Writer& writer, QuantizeReport& report,
                 const ProgressCallback& on_progress,
                 const std::function<void(const std::string&, const Tensor&)>& write) {
    report.bytes = writer.file_bytes();
    require_disk_space(output.folder(), report.bytes, fmt::format("'{}'", request_.output),
                       "make room, choose another --output or fewer bits");
    checkpoint::WeightReader reader(pool_, weights_.model, options_, is_head_tied());
    uint64_t done = 0, total = 0;
    for (const PlannedTensor& tensor : plan_) total += static_cast<uint64_t>(tensor.num_bytes());
    for (const WeightAssignment& assignment : assignments_) {
      const HeldWeight held = hold(assignment, reader, report);
      write(assignment.name, held.value);
      done += static_cast<uint64_t>(held.value.num_bytes());
      if (on_progress) on_progress(done, total);
    }
    writer.finish();
  }

  // The tensor in its dtype; the report learns what that lost.
  HeldWeight hold(const WeightAssignment& assignment, checkpoint::WeightReader& reader,
                  QuantizeReport& report) const {
    const auto importance = importances_.find(assignment.name);
    HeldWeight held =
        reader.read(assignment, importance == importances_.end() ? std::span<const float>()
                                                                 : importance->second);
    const checkpoint::TensorInfo& info = assignment.info();
    QuantizedTensor result{.name = assignment.name,
                           .part = std::string(part_name(checkpoint::weight_part(
                               assignment.name, info.shape, is_head_tied()))),
                           .stored_as = info.stored_as,
                           .dtype = held.dtype,
                           .squared_error = held.error.squared_error,
                           .squared_norm = held.error.squared_norm};
    if (!is_packed(held.dtype)) {
      const Tensor before = std::move(held.value);
      held.value = host_cast(before, held.dtype);
      if (before.dtype() != held.dtype) measure(before, held.value, result);
    }
    result.bytes = held.value.num_bytes();
    report.tensors.push_back(std::move(result));
    return held;
  }

  static void measure(const Tensor& before, const Tensor& after, QuantizedTensor& result) {
    const Tensor x_values = host_to_float32(before);
    const Tensor y_values = host_to_float32(after);
    const auto x = x_values.data<float>();
    const auto y = y_values.data<float>();
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double lost = double{x[i]} - double{y[i]};
      result.squared_error += lost * lost;
      result.squared_norm += double{x[i]} * double{x[i]};
    }
  }

  // What was written is a checkpoint of the same model.
  void check(const fs::path& folder) const {
    CheckpointPlace place = locate_checkpoint(folder.string(), "", "llava");
    const CheckpointText text = read_checkpoint_text(place);
    fs::path tower_folder;
    if (place.description.config.has_vision) {
      if (place.description.layout != Layout::kHuggingFace) {
        tower_folder = locate_vision_tower(place, request_.vision_tower);
      }
      read_checkpoint_images(place, tower_folder, {});
    }
    const CheckpointWeights weights =
        open_checkpoint_weights(place, LoadRequest{}, tower_folder, text.tokenizer->size(), &pool_);
    const auto problems = checkpoint::find_problems(place.description.config, weights.model);
    if (text.tokenizer->size() == text_.tokenizer->size() && text.conv_mode == text_.conv_mode &&
        problems.empty()) {
      return;
    }
    fail(ErrorCode::kInternal, "the folder that was written is not the same checkpoint{}",
         problems.empty() ? ": its tokenizer or template differs" : ": " + problems.front());
  }

  ThreadPool& pool_;
  InputMeanSquares importances_;
  const QuantizeRequest& request_;
  CheckpointPlace place_;
  LoadRequest load_request_;
  CheckpointText text_;
  fs::path tower_folder_;
  image::ImageProcessorConfig processor_;
  CheckpointWeights weights_;
  std::optional<model::LlavaModel> model_;
  std::vector<WeightAssignment> assignments_;
  LoadModelOptions options_;
  std::vector<PlannedTensor> plan_;
  int64_t peak_bytes_ = 0;
};

}  // namespace

double QuantizedTensor::relative_rms() const {
  return squared_norm > 0 ? std::sqrt(squared_error / squared_norm) : 0.0;
}

QuantizeReport quantize_checkpoint(Context& ctx, const QuantizeRequest& request,
                                   const ProgressCallback& on_progress) {
  InputMeanSquares importances;
  if (!request.calibrate.empty()) {
    const LoadRequest load{.model_path = request.model_path,
                           .model_base = request.model_base,
                           .model_name = request.model_name,
                           .vision_tower = request.vision_tower};
    importances = calibrate(ctx, load, request.calibrate, on_progress);
  }
  return Quantization(*ctx.pool, request, std::move(importances)).run(on_progress);
}

std::vector<std::string> verify_packed_store(ThreadPool& pool, const std::string& folder,
                                             const ProgressCallback& on_progress) {
  return checkpoint::PackedStore::open(fs::path(folder) / checkpoint::kPackedStoreFile)
      ->verify(pool, on_progress);
}

}  // namespace llava::engine
