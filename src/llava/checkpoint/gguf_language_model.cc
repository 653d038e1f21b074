// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/gguf_language_model.h"

#include <array>
#include <utility>

namespace llava::checkpoint {
namespace {

using model::DecoderConfig;
using model::DecoderFamily;

struct NamePair {
  std::string_view gguf;
  std::string_view original;
};

constexpr std::array<NamePair, 3> kGlobalNames = {{
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
}};

constexpr std::array<NamePair, 9> kLayerNames = {{
    {"attn_norm.", "input_layernorm."},
    {"ffn_norm.", "post_attention_layernorm."},
    {"attn_q.", "self_attn.q_proj."},
    {"attn_k.", "self_attn.k_proj."},
    {"attn_v.", "self_attn.v_proj."},
    {"attn_output.", "self_attn.o_proj."},
    {"ffn_gate.", "mlp.gate_proj."},
    {"ffn_up.", "mlp.up_proj."},
    {"ffn_down.", "mlp.down_proj."},
}};

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; unknown names stay.
std::string original_name(std::string_view name) {
  for (const NamePair& pair : kGlobalNames) {
    if (name == pair.gguf) return std::string(pair.original);
  }
  if (name.starts_with("blk.")) {
    const std::string_view rest = name.substr(4);
    const std::size_t dot = rest.find('.');
    if (dot != std::string_view::npos) {
      const std::string_view leaf = rest.substr(dot + 1);
      for (const NamePair& pair : kLayerNames) {
        if (leaf.starts_with(pair.gguf)) {
          return fmt::format("model.layers.{}.{}{}", rest.substr(0, dot), pair.original,
                             leaf.substr(pair.gguf.size()));
        }
      }
    }
  }
  return std::string(name);
}

// Row i of the result is row order[i] of the file: within a head, rows 2j and 2j+1 of the file are
// rows j and j + d/2 of the original.
std::vector<int64_t> unpermuted_rows(int64_t num_heads, int64_t head_dim) {
  std::vector<int64_t> order(static_cast<std::size_t>(num_heads * head_dim));
  const int64_t half = head_dim / 2;
  for (int64_t head = 0; head < num_heads; ++head) {
    for (int64_t j = 0; j < half; ++j) {
      const int64_t base = head * head_dim;
      order[static_cast<std::size_t>(base + j)] = base + 2 * j;
      order[static_cast<std::size_t>(base + half + j)] = base + 2 * j + 1;
    }
  }
  return order;
}

class GgufLanguageModel final : public TensorSource {
 public:
  GgufLanguageModel(std::shared_ptr<const GgufFile> file, const GgufLoading& loading)
      : file_(std::move(file)), pool_(loading.pool) {
    const DecoderConfig config = read_gguf_decoder_config(*file_);
    const bool is_permuted = config.family == DecoderFamily::kLlama;
    for (const auto& [name, info] : file_->tensors()) {
      if (name == "rope_freqs.weight") continue;  // read into the configuration
      TensorInfo renamed = info;
      renamed.name = original_name(name);
      const auto packed = loading.keeps_blocks ? file_->packed_form(name) : std::nullopt;
      if (packed) renamed.dtype = *packed;
      int32_t heads = 0;
      if (is_permuted && renamed.name != name) {
        if (name.find(".attn_q.") != std::string::npos) heads = config.num_attention_heads;
        if (name.find(".attn_k.") != std::string::npos) heads = config.num_key_value_heads;
      }
      const int64_t rows = static_cast<int64_t>(heads) * config.head_dim;
      if (heads > 0 && (info.shape.empty() || info.shape[0] != rows)) {
        fail(ErrorCode::kBadFormat,
             "'{}': tensor '{}' has shape {}, expected {} rows ({} heads of {})", file_->name(),
             name, to_text(info.shape), rows, heads, config.head_dim);
      }
      entries_[renamed.name] = {name, heads, packed.has_value()};
      if (!tensors_.emplace(renamed.name, renamed).second) {
        fail(ErrorCode::kBadFormat, "'{}': two tensors mean '{}'", file_->name(), renamed.name);
      }
    }
    head_dim_ = config.head_dim;
  }

  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }

  Tensor load(const std::string& name) const override {
    const auto it = entries_.find(name);
    if (it == entries_.end()) {
      fail(ErrorCode::kNotFound, "'{}' has no tensor '{}'", file_->name(), name);
    }
    const Entry& entry = it->second;
    std::vector<int64_t> rows;
    if (entry.permuted_heads > 0) rows = unpermuted_rows(entry.permuted_heads, head_dim_);
    if (entry.is_packed) return load_packed(entry, rows);
    return rows.empty() ? file_->load(entry.stored_name)
                        : file_->load_rows(entry.stored_name, rows);
  }

 private:
  struct Entry {
    std::string stored_name;
    int32_t permuted_heads = 0;  // 0: rows are in order
    bool is_packed = false;
  };

  Tensor load_packed(const Entry& entry, std::span<const int64_t> rows) const {
    if (pool_ != nullptr) return file_->load_packed(entry.stored_name, rows, *pool_);
    ThreadPool caller(1);
    return file_->load_packed(entry.stored_name, rows, caller);
  }

  std::shared_ptr<const GgufFile> file_;
  ThreadPool* pool_;
  int32_t head_dim_ = 0;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, Entry> entries_;
};

}  // namespace

std::string gguf_name(std::string_view original) {
  constexpr std::string_view kLayers = "model.layers.";
  for (const NamePair& pair : kGlobalNames) {
    if (original == pair.original) return std::string(pair.gguf);
  }
  if (original.starts_with(kLayers)) {
    const std::string_view rest = original.substr(kLayers.size());
    const std::size_t dot = rest.find('.');
    for (const NamePair& pair : kLayerNames) {
      if (dot == std::string_view::npos || !rest.substr(dot + 1).starts_with(pair.original)) {
        continue;
      }
      return fmt::format("blk.{}.{}{}", rest.substr(0, dot), pair.gguf,
                         rest.substr(dot + 1 + pair.original.size()));
    }
  }
  return std::string(original);
}

std::shared_ptr<const TensorSource> gguf_language_model(std::shared_ptr<const GgufFile> file,
                                                        const GgufLoading& loading) {
  return std::make_shared<const GgufLanguageModel>(std::move(file), loading);
}

}  // namespace llava::checkpoint
