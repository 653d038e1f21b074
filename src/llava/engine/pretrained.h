// SPDX-License-Identifier: Apache-2.0
//
// Pretrained: everything of a checkpoint that answering needs: model, tokenizer, picture processor,
// template and decoding defaults. The counterpart of the original's `load_pretrained_model`.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "llava/checkpoint/config_json.h"
#include "llava/checkpoint/generation_config.h"
#include "llava/checkpoint/load_model.h"
#include "llava/core/config.h"
#include "llava/image/processor_config.h"
#include "llava/model/llava_model.h"
#include "llava/text/chat_template.h"
#include "llava/text/tokenizer.h"

namespace llava::engine {

/// Which checkpoint to open and how. Names of the flags are the original's.
struct LoadRequest {
  std::string model_path;
  std::string model_base;
  std::string model_name;
  std::string vision_tower;
  std::string dtype = "auto";
  std::string vision_dtype = "auto";
  bool load_8bit = false;
  bool load_4bit = false;
  std::string lora = "unmerged";
  std::string preprocess = "auto";
  std::string image_aspect_ratio;
  /// Rounds weights to float16 on loading, as the original does (llava parity).
  bool rounds_to_float16 = false;

  template <class V>
  void describe(V& v) {
    v.field("model-path", model_path,
            "checkpoint: a folder, a GGUF language model, or org/name of the hub; without it the "
            "bundled model is used");
    v.field(
        "model-base", model_base,
        "base language model (folder, GGUF or org/name) of a LoRA or projector-only checkpoint");
    v.field("model-name", model_name,
            "name to choose template and tokenizer form by, instead of the path's last part");
    v.field("vision-tower", vision_tower,
            "folder of the vision tower, instead of the place config.json names");
    v.field(
        "dtype", dtype,
        "compute type of the language model: auto keeps the checkpoint's, and the blocks of a GGUF "
        "file; any other widens them",
        one_of({"auto", "float32", "bfloat16", "float16", "f32", "bf16", "f16", "fp32", "fp16"}));
    v.field(
        "vision-dtype", vision_dtype,
        "compute type of the vision tower: auto is float32 for a tower of its own folder, as "
        "the original, else the language model's",
        one_of({"auto", "float32", "bfloat16", "float16", "f32", "bf16", "f16", "fp32", "fp16"}));
    v.field("load-8bit", load_8bit,
            "quantise the language model and the projector to 8 bits while loading");
    v.field("load-4bit", load_4bit,
            "quantise the language model to 4 bits while loading, head and projector to 8; "
            "--load-8bit wins");
    v.field("lora", lora,
            "adapters beside the weights (unmerged) or added to them by the published float16 rule",
            one_of({"", "unmerged", "merged"}));
    v.field("preprocess", preprocess, "picture rules: auto follows the checkpoint's layout",
            one_of({"auto", "hf", "original"}));
    v.field("image-aspect-ratio", image_aspect_ratio,
            "pad, square or anyres instead of what the checkpoint says",
            one_of({"", "pad", "square", "anyres"}));
  }
};

/// A checkpoint ready to answer.
///
/// Threads: const, safe to share, except that the backend runs one forward pass at a time.
struct Pretrained {
  std::string name;  ///< model name by the original's rule
  std::filesystem::path path;
  checkpoint::CheckpointDescription description;
  std::unique_ptr<model::LlavaModel> model;
  std::unique_ptr<text::Tokenizer> tokenizer;
  image::ImageProcessorConfig processor;
  image::ImageGeometry geometry;
  std::optional<text::ChatTemplate> chat_template;
  checkpoint::GenerationDefaults generation;
  /// Template of --conv-mode when none is given; empty if the checkpoint's own Jinja template is
  /// used.
  std::string conv_mode;

  bool has_vision() const { return model->config.has_vision; }
  bool is_hugging_face() const { return description.layout == checkpoint::Layout::kHuggingFace; }
  /// Ids that end an answer.
  std::vector<int32_t> end_ids() const;
  /// Ids below this one may be generated: the tokenizer's size in the original layout, where the
  /// table is cut to it; all of the table in the Hugging Face layout.
  int32_t num_allowed_ids() const;
  /// Positions the model was trained for.
  int32_t context_length() const { return model->config.decoder.max_position_embeddings; }
};

/// Opens a checkpoint. An empty model path opens the bundled default model.
///
/// Memory is compared with what the machine has before anything is read.
/// Throws: Error of every kind a damaged, incomplete or unsupported checkpoint deserves, naming the
/// file, what was expected and what was found.
Pretrained load_pretrained(Context& ctx, const LoadRequest& request,
                           const ProgressCallback& on_progress = {});

}  // namespace llava::engine
