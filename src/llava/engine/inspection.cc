// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/inspection.h"

#include <set>

#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/lora_weights.h"
#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/engine/checkpoint_images.h"
#include "llava/engine/checkpoint_text.h"
#include "llava/engine/checkpoint_weights.h"
#include "llava/engine/kv_pages.h"
#include "llava/engine/memory.h"

namespace llava::engine {
namespace {

using checkpoint::Layout;

std::string_view family_name(model::DecoderFamily family) {
  switch (family) {
    case model::DecoderFamily::kLlama:
      return "llama";
    case model::DecoderFamily::kMistral:
      return "mistral";
    case model::DecoderFamily::kQwen2:
      return "qwen2";
  }
  return "llama";
}

std::string_view scaling_name(model::RopeScaling scaling) {
  switch (scaling) {
    case model::RopeScaling::kNone:
      return "none";
    case model::RopeScaling::kLinear:
      return "linear";
    case model::RopeScaling::kDynamic:
      return "dynamic";
    case model::RopeScaling::kLlama3:
      return "llama3";
  }
  return "none";
}

OrderedJson describe_decoder(const model::DecoderConfig& c) {
  OrderedJson json;
  json["family"] = family_name(c.family);
  json["vocab_size"] = c.vocab_size;
  json["hidden_size"] = c.hidden_size;
  json["intermediate_size"] = c.intermediate_size;
  json["num_hidden_layers"] = c.num_hidden_layers;
  json["num_attention_heads"] = c.num_attention_heads;
  json["num_key_value_heads"] = c.num_key_value_heads;
  json["head_dim"] = c.head_dim;
  json["max_position_embeddings"] = c.max_position_embeddings;
  json["rms_norm_eps"] = std::stod(fmt::format("{}", c.rms_norm_eps));  // 1e-05, as written
  json["rope_theta"] = c.rope.theta;
  json["rope_scaling"] = scaling_name(c.rope.scaling);
  json["sliding_window"] = c.sliding_window > 0 ? OrderedJson(c.sliding_window) : OrderedJson();
  json["attention_bias"] = c.has_qkv_bias;
  json["tie_word_embeddings"] = c.is_head_tied;
  return json;
}

OrderedJson text_or_null(const std::string& text) {
  return text.empty() ? OrderedJson() : OrderedJson(text);
}

OrderedJson describe_vision(const CheckpointPlace& place, const std::string& tower_folder) {
  const model::VisionConfig& c = place.description.config.vision;
  OrderedJson json;
  json["tower"] = text_or_null(place.description.vision_tower);
  json["folder"] = text_or_null(tower_folder);
  json["hidden_size"] = c.hidden_size;
  json["intermediate_size"] = c.intermediate_size;
  json["num_hidden_layers"] = c.num_hidden_layers;
  json["num_attention_heads"] = c.num_attention_heads;
  json["image_size"] = c.image_size;
  json["patch_size"] = c.patch_size;
  json["feature_layers"] = place.description.config.vision_feature_layers;
  json["keeps_class_token"] = place.description.config.geometry.has_class_token;
  return json;
}

OrderedJson describe_projector(const model::LlavaConfig& c) {
  OrderedJson json;
  switch (c.projector.type) {
    case model::ProjectorType::kIdentity:
      json["type"] = "identity";
      break;
    case model::ProjectorType::kLinear:
      json["type"] = "linear";
      break;
    case model::ProjectorType::kMlp:
      json["type"] = fmt::format("mlp{}x_gelu", c.projector.mlp_depth);
      break;
  }
  json["in_features"] = static_cast<int64_t>(c.vision.hidden_size) *
                        static_cast<int64_t>(c.vision_feature_layers.size());
  json["out_features"] = c.decoder.hidden_size;
  return json;
}

class Inspection {
 public:
  explicit Inspection(const LoadRequest& request)
      : request_(request),
        place_(locate_checkpoint(request.model_path, request.model_base, request.model_name,
                                 /*requires_base=*/false)) {}

  OrderedJson run() {
    const checkpoint::CheckpointDescription& description = place_.description;
    json_["path"] = place_.path.string();
    json_["name"] = place_.name;
    json_["layout"] = checkpoint::layout_name(description.layout);
    json_["architecture"] =
        description.architecture.empty() ? description.model_type : description.architecture;
    json_["decoder"] = describe_decoder(description.config.decoder);
    json_["vision"] = nullptr;
    json_["projector"] = nullptr;
    if (needs_base(description.layout) && place_.base.empty()) {
      problems_.push_back("its base language model is needed to use it: give --model-base");
    }
    attempt([&] { add_vision(); });
    attempt([&] { add_text(); });
    attempt([&] { read_decoding_defaults(place_); });
    attempt([&] { add_tensors(); });
    json_["problems"] = problems_;
    return std::move(json_);
  }

 private:
  template <class Function>
  void attempt(const Function& function) {
    try {
      function();
    } catch (const Error& error) {
      problems_.push_back(error.what());
    }
  }

  void add_vision() {
    if (!place_.description.config.has_vision) return;
    json_["vision"] = {{"tower", text_or_null(place_.description.vision_tower)}};
    if (place_.description.layout != Layout::kHuggingFace) {
      tower_folder_ = locate_vision_tower(place_, request_.vision_tower);
    }
    const CheckpointImages images = read_checkpoint_images(
        place_, tower_folder_,
        {.preprocess = request_.preprocess, .image_aspect_ratio = request_.image_aspect_ratio});
    json_["vision"] = describe_vision(place_, tower_folder_.string());
    json_["projector"] = describe_projector(place_.description.config);
  }

  void add_text() {
    json_["conv_mode"] = nullptr;
    if (needs_base(place_.description.layout) && place_.base.empty()) return;
    const CheckpointText text = read_checkpoint_text(place_);
    num_tokens_ = text.tokenizer->size();
    json_["conv_mode"] = text.conv_mode.empty() ? "chat_template" : text.conv_mode;
    json_["tokenizer"] = {{"size", num_tokens_}};
    if (text.image_token_id && place_.description.config.has_vision) {
      attempt([&] { check_image_token(*text.tokenizer, *text.image_token_id); });
    }
    const int32_t vocab_size = place_.description.config.decoder.vocab_size;
    if (num_tokens_ > vocab_size) {
      problems_.push_back(fmt::format(
          "the tokenizer has {} tokens, the table {} rows: the last {} tokens cannot be "
          "used",
          num_tokens_, vocab_size, num_tokens_ - vocab_size));
    }
  }

  void add_tensors() {
    json_["tensors"] = OrderedJson::array();
    json_["bytes"] = 0;
    const CheckpointWeights weights =
        open_checkpoint_weights(place_, request_, tower_folder_, num_tokens_, nullptr);
    int64_t bytes = 0;
    std::set<std::string> listed;
    for (const auto& source : weights.model.sources) {
      for (const auto& [name, info] : source->tensors()) {
        if (!listed.insert(name).second) continue;
        bytes += info.stored_bytes;
        json_["tensors"].push_back({{"name", name},
                                    {"shape", info.shape},
                                    {"dtype", info.stored_as},
                                    {"bytes", info.stored_bytes},
                                    {"file", info.file}});
      }
    }
    bytes += add_adapters(weights);
    json_["bytes"] = bytes;
    const model::LlavaConfig config = known_config();
    json_["decoder"] = describe_decoder(config.decoder);  // the weights have told what is tied
    add_memory(config, weights);
    // Without its base most of a checkpoint is missing, as has been said.
    if (needs_base(place_.description.layout) && place_.base.empty()) return;
    for (std::string& problem : checkpoint::find_problems(
             config,
             config.has_vision == has_vision() ? weights.model : language_weights(weights.model))) {
      problems_.push_back(std::move(problem));
    }
  }

  // The bytes of the adapters as stored.
  int64_t add_adapters(const CheckpointWeights& weights) {
    json_["adapters"] = weights.model.adapters.size();
    if (weights.model.adapters.empty()) return 0;
    int64_t bytes = 0;
    const std::string file = checkpoint::find_adapter_file(place_.path).string();
    for (const auto& [name, adapter] : weights.model.adapters) {
      for (const auto& [part, tensor] :
           {std::pair("lora_A", &adapter.a_RI), std::pair("lora_B", &adapter.b_OR)}) {
        const auto size = static_cast<int64_t>(tensor->bytes().size());
        json_["tensors"].push_back({{"name", fmt::format("{}.{}.weight", name, part)},
                                    {"shape", tensor->shape()},
                                    {"dtype", dtype_name(tensor->dtype())},
                                    {"bytes", size},
                                    {"file", file}});
        bytes += size;
        num_adapter_values_ += size / item_size(tensor->dtype());
      }
    }
    return bytes;
  }

  bool has_vision() const { return place_.description.config.has_vision; }

  // Where the tower could not be read, which is a problem of its own, nothing can be said about its
  // shapes nor about those of the projector.
  model::LlavaConfig known_config() const {
    model::LlavaConfig config = place_.description.config;
    config.has_vision = has_vision() && place_.description.is_vision_known;
    config.has_image_newline = config.has_image_newline && config.has_vision;
    return config;
  }

  static checkpoint::ModelWeights language_weights(const checkpoint::ModelWeights& weights) {
    checkpoint::ModelWeights result{.sources = {}, .adapters = weights.adapters};
    for (const auto& source : weights.sources) {
      result.sources.push_back(checkpoint::rename_source(
          source, [](std::string_view name) -> std::optional<std::string> {
            const bool is_vision = name.starts_with("model.vision_tower.") ||
                                   name.starts_with("model.mm_projector.") ||
                                   name == "model.image_newline";
            return is_vision ? std::nullopt : std::optional(std::string(name));
          }));
    }
    return result;
  }

  // As the engine sees it that chooses the type of the KV cache (open_engine.h).
  static bool has_packed_layers(const CheckpointWeights& weights,
                                const checkpoint::LoadModelOptions& options) {
    if (options.forms.language) return true;
    for (const auto& source : weights.model.sources) {
      const auto it = source->tensors().find("model.layers.0.mlp.down_proj.weight");
      if (it != source->tensors().end()) return options.keeps_packed && is_packed(it->second.dtype);
    }
    return false;
  }

  void add_memory(const model::LlavaConfig& config, const CheckpointWeights& weights) {
    const checkpoint::LoadModelOptions options = load_options(request_, weights);
    const checkpoint::WeightBytes bytes = checkpoint::weight_bytes(config, weights.model, options);
    OrderedJson memory;
    memory["dtype"] = dtype_name(options.dtype);
    memory["vision_dtype"] = dtype_name(options.vision_dtype);
    // Merged adapters become part of the decoder's weights.
    const int64_t adapters =
        request_.lora == "merged" ? 0 : num_adapter_values_ * item_size(options.dtype);
    const int64_t total = bytes.total() + adapters;
    memory["weights"] = total;
    memory["decoder"] = bytes.decoder;
    memory["projector"] = bytes.projector;
    memory["vision"] = bytes.vision;
    memory["adapters"] = adapters;
    memory["forms"] = OrderedJson::object();
    for (const auto& [dtype, size] : bytes.by_dtype) {
      memory["forms"][std::string(dtype_name(dtype))] = size;
    }
    const DType kv_dtype = has_packed_layers(weights, options) ? DType::kFloat16 : options.dtype;
    memory["kv_dtype"] = dtype_name(kv_dtype);
    memory["kv_per_token"] = KvPages::bytes_per_token(config.decoder, kv_dtype);
    if (const auto available = available_memory_bytes()) {
      memory["available"] = *available;
      if (total > *available) {
        problems_.push_back("the weights do not fit into the memory that is available now");
      }
    }
    json_["memory"] = std::move(memory);
  }

  const LoadRequest& request_;
  CheckpointPlace place_;
  std::filesystem::path tower_folder_;
  int32_t num_tokens_ = 0;
  int64_t num_adapter_values_ = 0;
  OrderedJson json_;
  std::vector<std::string> problems_;
};

}  // namespace

OrderedJson inspect_checkpoint(const LoadRequest& request) { return Inspection(request).run(); }

}  // namespace llava::engine
