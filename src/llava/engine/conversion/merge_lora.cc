// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/conversion/merge_lora.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <filesystem>
#include <utility>

#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/merge_adapter.h"
#include "llava/checkpoint/packed_store.h"
#include "llava/checkpoint/sharded_writer.h"
#include "llava/checkpoint/vision_tower_folder.h"
#include "llava/checkpoint/weights_hash.h"
#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/engine/checkpoint_files.h"
#include "llava/engine/checkpoint_weights.h"
#include "llava/engine/conversion/adapted_checkpoint.h"
#include "llava/engine/conversion/merged_config.h"
#include "llava/engine/conversion/source_folder.h"
#include "llava/engine/output_folder.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;
using checkpoint::Layout;
using checkpoint::WeightToWrite;
using Part = AdaptedCheckpoint::Part;

void check_name(const fs::path& target) {
  std::string name = target.filename().string();
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (name.find("lora") != std::string::npos) {
    fail(ErrorCode::kInvalidArgument,
         "--save-model-path '{}' has 'lora' in its name, by which the original takes a folder for "
         "an adapter: choose a name without it",
         target.string());
  }
  if (name.find("llava") == std::string::npos) {
    log_warning("name_without_llava",
                {{"name", target.filename().string()},
                 {"effect", "the original would load it as a plain language model"}});
  }
}

void check_base(const fs::path& base) {
  if (!fs::is_directory(base) || fs::exists(base / checkpoint::kPackedStoreFile)) {
    fail(ErrorCode::kUnsupported,
         "--model-base '{}' is {}, expected a folder of floating-point weights: merge into "
         "quantised weights with 'llava quantize'",
         base.string(), fs::is_directory(base) ? "a packed store" : "a file of quantised weights");
  }
}

class Merge {
 public:
  Merge(ThreadPool& pool, const MergeLoraRequest& request)
      : pool_(pool),
        request_(request),
        is_reference_(request.compat == "reference"),
        target_(output_path(request.save_model_path, "--save-model-path")),
        place_(locate_checkpoint(request.model_path, request.model_base, "")) {
    check_request();
  }

  MergeLoraReport run(const ProgressCallback& on_progress) {
    const auto start = std::chrono::steady_clock::now();
    MergeLoraReport report{.output = request_.save_model_path};
    report.is_base_checked = verify_base(on_progress);
    const AdaptedCheckpoint adapted(place_, request_.vision_tower,
                                    is_reference_ ? TowerWeights::kAlways : TowerWeights::kIfOwn,
                                    pool_);
    const std::vector<WeightToWrite> weights = weights_to_write(adapted);
    for (const WeightToWrite& weight : weights) {
      report.bytes += static_cast<uint64_t>(weight.tensor.num_bytes());
      report.num_merged += adapted.adapter_of(weight.tensor.name) != nullptr ? 1 : 0;
    }
    report.num_tensors = static_cast<int64_t>(weights.size());
    OutputFolder output(target_);
    const OrderedJson config =
        merged_config(place_, adapted.text(),
                      {.dtype = is_reference_ ? DType::kFloat16 : adapted.dtype(),
                       .has_tower_weights = adapted.has_own_tower(),
                       .vocab_size = vocab_size(adapted),
                       .target = target_});
    write_ordered_file(output.folder() / "config.json", config);
    write_generation_config(place_.base, output.folder(), config);
    copy_tokenizer_files(place_.base, output.folder());
    copy_processor_files(place_.base, output.folder());
    checkpoint::write_sharded_weights(
        output.folder(), weights,
        {.max_shard_bytes = static_cast<uint64_t>(request_.max_shard_bytes),
         .on_progress = on_progress});
    output.finish();
    if (place_.description.config.has_vision && !adapted.has_own_tower()) warn_without_tower();
    report.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  }

 private:
  void check_request() const {
    if (!needs_base(place_.description.layout)) {
      fail(ErrorCode::kInvalidArgument,
           "--model-path '{}' is a {} checkpoint, expected a LoRA or projector-only folder: there "
           "is nothing to merge",
           place_.path.string(), checkpoint::layout_name(place_.description.layout));
    }
    check_base(place_.base);
    constexpr std::string_view kSave = "--save-model-path";
    require_other_folder(target_, kSave, place_.path, "--model-path");
    require_other_folder(target_, kSave, place_.base, "--model-base");
    require_new_folder(target_, kSave);
    check_name(target_);
  }

  // A tower that is named by its place beside the adapter may be out of reach from the new folder.
  void warn_without_tower() const {
    const std::string& name = place_.description.vision_tower;
    try {
      checkpoint::resolve_vision_tower(
          {.name = name, .checkpoint_folder = target_, .explicit_folder = {}, .models_root = {}});
    } catch (const Error&) {
      log_warning("vision_tower_out_of_reach",
                  {{"vision_tower", name},
                   {"effect", "the merged folder needs --vision-tower, or the tower beside it"}});
    }
  }

  // Whether there was something to compare with.
  bool verify_base(const ProgressCallback& on_progress) const {
    if (place_.description.layout != Layout::kLora) return false;
    const std::string expected = checkpoint::expected_base_sha256(place_.path);
    if (expected.empty() || request_.skip_base_check) return false;
    const std::string found = checkpoint::base_weights_sha256(place_.base, &pool_, on_progress);
    if (found != expected) {
      fail(ErrorCode::kInvalidArgument,
           "--model-base '{}' is not the base that '{}' was trained on: its weights have the hash "
           "{}, expected {}: give that base, or --skip-base-check to merge all the same",
           place_.base.string(), place_.path.string(), found, expected);
    }
    return true;
  }

  DType dtype_of(const AdaptedCheckpoint& adapted, const Part& part) const {
    if (is_reference_) return DType::kFloat16;
    const auto& tensors = adapted.base().tensors();
    const auto it = tensors.find(part.name);
    const bool is_of_base = it != tensors.end() && is_compute_dtype(it->second.dtype);
    return is_of_base ? it->second.dtype : adapted.dtype();
  }

  // Rows of embedding table and head: the original cuts off those that no token has.
  int64_t vocab_size(const AdaptedCheckpoint& adapted) const {
    const int64_t rows = place_.description.config.decoder.vocab_size;
    return is_reference_ ? std::min<int64_t>(rows, adapted.text().tokenizer->size()) : rows;
  }

  std::vector<WeightToWrite> weights_to_write(const AdaptedCheckpoint& adapted) const {
    const int64_t num_rows = vocab_size(adapted);
    std::vector<WeightToWrite> weights;
    for (const Part& part : adapted.parts()) {
      const DType dtype = dtype_of(adapted, part);
      Shape shape = part.info().shape;
      const bool is_table =
          part.name == checkpoint::kEmbeddingTable || part.name == checkpoint::kHeadTable;
      if (is_table) shape[0] = num_rows;
      weights.push_back(
          {{part.name, shape, dtype}, [this, &adapted, &part, dtype, is_table, num_rows] {
             const Tensor whole = merged(part, adapted.adapter_of(part.name), dtype);
             return is_table ? whole.rows(0, num_rows) : whole;
           }});
    }
    return weights;
  }

  Tensor merged(const Part& part, const model::LoraAdapter* adapter, DType dtype) const {
    const Tensor value = part.source->load(part.name);
    if (adapter == nullptr) return host_cast(value, dtype);
    if (is_reference_) return checkpoint::merge_adapter(value, *adapter, &pool_);
    return checkpoint::merge_adapter_exactly(value, *adapter, dtype, &pool_);
  }

  ThreadPool& pool_;
  const MergeLoraRequest& request_;
  bool is_reference_;
  fs::path target_;
  CheckpointPlace place_;
};

}  // namespace

MergeLoraReport merge_lora(ThreadPool& pool, const MergeLoraRequest& request,
                           const ProgressCallback& on_progress) {
  return Merge(pool, request).run(on_progress);
}

}  // namespace llava::engine
