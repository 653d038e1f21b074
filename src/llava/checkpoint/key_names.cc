// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/key_names.h"

#include <array>
#include <utility>

#include "llava/core/error.h"

namespace llava::checkpoint {
namespace {

struct PrefixPair {
  std::string_view other;
  std::string_view canonical;
};

// Order matters: the first prefix that matches is replaced.
constexpr std::array<PrefixPair, 7> kClassicPrefixes = {{
    {"language_model.model.", "model."},
    {"language_model.lm_head.", "lm_head."},
    {"vision_tower.", kVisionTowerPrefix},
    {"multi_modal_projector.linear_1.", "model.mm_projector.0."},
    {"multi_modal_projector.linear_2.", "model.mm_projector.2."},
    {"multi_modal_projector.", "model.mm_projector."},
    {"image_newline", "model.image_newline"},
}};

// transformers 4.52 and later, in memory; "lm_head." and "model.image_newline" are already
// canonical.
constexpr std::array<PrefixPair, 5> kNestedPrefixes = {{
    {"model.language_model.", "model."},
    {"model.vision_tower.vision_model.", "model.vision_tower.vision_tower.vision_model."},
    {"model.multi_modal_projector.linear_1.", "model.mm_projector.0."},
    {"model.multi_modal_projector.linear_2.", "model.mm_projector.2."},
    {"model.multi_modal_projector.", "model.mm_projector."},
}};

template <std::size_t N>
std::optional<std::string> replace_prefix(std::string_view key,
                                          const std::array<PrefixPair, N>& pairs) {
  for (const PrefixPair& pair : pairs) {
    if (key.starts_with(pair.other)) {
      return std::string(pair.canonical) + std::string(key.substr(pair.other.size()));
    }
  }
  return std::nullopt;
}

class RenamedSource final : public TensorSource {
 public:
  RenamedSource(std::shared_ptr<const TensorSource> source, const KeyMap& map)
      : source_(std::move(source)) {
    for (const auto& [name, info] : source_->tensors()) {
      if (is_ignorable_key(name)) continue;
      std::optional<std::string> renamed = map(name);
      if (!renamed) continue;
      const auto [it, is_new] = old_names_.emplace(*renamed, name);
      if (!is_new) {
        fail(ErrorCode::kBadFormat, "'{}': tensors '{}' and '{}' both mean '{}', expected one",
             info.file, it->second, name, *renamed);
      }
      TensorInfo copy = info;
      copy.name = *renamed;
      tensors_.emplace(std::move(*renamed), std::move(copy));
    }
  }

  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }

  Tensor load(const std::string& name) const override {
    const auto it = old_names_.find(name);
    if (it == old_names_.end()) {
      fail(ErrorCode::kNotFound, "the checkpoint has no tensor '{}'", name);
    }
    return source_->load(it->second);
  }

 private:
  std::shared_ptr<const TensorSource> source_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> old_names_;
};

}  // namespace

bool is_ignorable_key(std::string_view key) {
  return key.ends_with(".rotary_emb.inv_freq") || key.ends_with(".position_ids");
}

std::string canonical_name(std::string_view key) {
  if (auto name = replace_prefix(key, kClassicPrefixes)) return *name;
  if (auto name = replace_prefix(key, kNestedPrefixes)) return *name;
  return std::string(key);
}

std::string hugging_face_name(std::string_view canonical) {
  constexpr std::array<PrefixPair, 6> kReverse = {{
      {kVisionTowerPrefix, "vision_tower."},
      {"model.mm_projector.0.", "multi_modal_projector.linear_1."},
      {"model.mm_projector.2.", "multi_modal_projector.linear_2."},
      {"model.image_newline", "image_newline"},
      {"model.", "language_model.model."},
      {"lm_head.", "language_model.lm_head."},
  }};
  if (auto name = replace_prefix(canonical, kReverse)) return *name;
  return std::string(canonical);
}

std::optional<std::string> canonical_tower_name(std::string_view key) {
  if (key.starts_with("vision_model.")) return std::string(kVisionTowerPrefix) + std::string(key);
  if (key.starts_with(kVisionTowerPrefix)) return std::string(key);
  return std::nullopt;
}

std::optional<std::string> canonical_projector_file_name(std::string_view key) {
  constexpr std::string_view kMark = "mm_projector.";
  const std::size_t at = key.find(kMark);
  if (at != std::string_view::npos) {
    return "model.mm_projector." + std::string(key.substr(at + kMark.size()));
  }
  if (key.ends_with("embed_tokens.weight")) return "model.embed_tokens.weight";
  if (key.ends_with("image_newline")) return "model.image_newline";
  return std::nullopt;
}

std::shared_ptr<const TensorSource> rename_source(std::shared_ptr<const TensorSource> source,
                                                  const KeyMap& map) {
  return std::make_shared<const RenamedSource>(std::move(source), map);
}

void refuse_quantized_keys(const TensorSource& source, std::string_view what) {
  constexpr std::array<std::string_view, 10> kSuffixes = {
      ".absmax",  ".quant_map", ".nested_absmax", ".nested_quant_map", ".SCB",
      ".qweight", ".qzeros",    ".g_idx",         ".weight_packed",    ".weight_format"};
  for (const auto& [name, info] : source.tensors()) {
    bool is_quantized = name.find(".quant_state.") != std::string::npos;
    for (const std::string_view suffix : kSuffixes) is_quantized |= name.ends_with(suffix);
    if (is_quantized) {
      fail(ErrorCode::kUnsupported,
           "'{}' was saved with quantised weights (tensor '{}'), expected float16, bfloat16 or "
           "float32: use the checkpoint it was made from",
           what, name);
    }
  }
}

}  // namespace llava::checkpoint
