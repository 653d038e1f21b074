// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/resized_table.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/tensor/packed.h"

namespace llava::checkpoint {
namespace {

using SourcePtr = std::shared_ptr<const TensorSource>;

class LooseTensors final : public TensorSource {
 public:
  LooseTensors(std::map<std::string, Tensor> tensors, const std::string& file)
      : loaded_(std::move(tensors)) {
    for (const auto& [name, tensor] : loaded_) {
      infos_[name] = {.name = name,
                      .shape = tensor.shape(),
                      .dtype = tensor.dtype(),
                      .stored_as = std::string(dtype_name(tensor.dtype())),
                      .stored_bytes = tensor.num_bytes(),
                      .file = file};
    }
  }

  const std::map<std::string, TensorInfo>& tensors() const override { return infos_; }

  Tensor load(const std::string& name) const override {
    const auto it = loaded_.find(name);
    if (it == loaded_.end()) fail(ErrorCode::kNotFound, "there is no tensor '{}'", name);
    return it->second;
  }

 private:
  std::map<std::string, Tensor> loaded_;
  std::map<std::string, TensorInfo> infos_;
};

// A table with rows of zeros behind it and the newest tokens' rows written over it.
class FittedTables final : public TensorSource {
 public:
  struct Fit {
    int64_t num_rows = 0;
    SourcePtr patch;  // may be null
    int64_t patch_row = 0;
  };

  FittedTables(SourcePtr inner, std::map<std::string, Fit> fits)
      : inner_(std::move(inner)), fits_(std::move(fits)), infos_(inner_->tensors()) {
    for (const auto& [name, fit] : fits_) {
      TensorInfo& info = infos_[name];
      info.shape[0] = fit.num_rows;
      if (is_packed(info.dtype)) info.dtype = DType::kFloat32;  // rows are written into it
    }
  }

  const std::map<std::string, TensorInfo>& tensors() const override { return infos_; }

  Tensor load(const std::string& name) const override {
    Tensor inner = inner_->load(name);
    const auto it = fits_.find(name);
    if (it == fits_.end()) return inner;
    if (is_packed(inner.dtype())) inner = dequantize(inner);
    const Fit& fit = it->second;
    Tensor table = Tensor::zeros({fit.num_rows, inner.dim(1)}, inner.dtype());
    std::byte* out = table.mutable_bytes().data();
    std::memcpy(out, inner.bytes().data(), inner.bytes().size());
    if (fit.patch != nullptr) {
      const Tensor rows = host_cast(fit.patch->load(name), inner.dtype());
      const auto row_bytes = static_cast<std::size_t>(inner.dim(1) * item_size(inner.dtype()));
      std::memcpy(out + static_cast<std::size_t>(fit.patch_row) * row_bytes, rows.bytes().data(),
                  rows.bytes().size());
    }
    return table;
  }

 private:
  SourcePtr inner_;
  std::map<std::string, Fit> fits_;
  std::map<std::string, TensorInfo> infos_;
};

// Leaves one name out, so that a table further on is found.
class WithoutName final : public TensorSource {
 public:
  WithoutName(SourcePtr inner, const std::string& name)
      : inner_(std::move(inner)), infos_(inner_->tensors()) {
    infos_.erase(name);
  }
  const std::map<std::string, TensorInfo>& tensors() const override { return infos_; }
  Tensor load(const std::string& name) const override { return inner_->load(name); }

 private:
  SourcePtr inner_;
  std::map<std::string, TensorInfo> infos_;
};

// Rows of a table of the right width, or nothing.
std::optional<int64_t> rows_of(const SourcePtr& source, const std::string& name, int64_t width) {
  const auto it = source->tensors().find(name);
  if (it == source->tensors().end()) return std::nullopt;
  const Shape& shape = it->second.shape;
  if (shape.size() != 2 || shape[1] != width) return std::nullopt;
  return shape[0];
}

}  // namespace

std::vector<SourcePtr> fit_tables(std::vector<SourcePtr> sources,
                                  const model::DecoderConfig& config, int32_t num_tokens) {
  SourcePtr& base = sources.back();
  std::map<std::string, FittedTables::Fit> fits;
  for (const std::string name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    const auto base_rows = rows_of(base, name, config.hidden_size);
    if (!base_rows) continue;
    FittedTables::Fit fit{.num_rows = std::max<int64_t>(*base_rows, config.vocab_size)};
    bool is_complete = *base_rows >= config.vocab_size;
    for (std::size_t i = 0; i + 1 < sources.size(); ++i) {
      const auto rows = rows_of(sources[i], name, config.hidden_size);
      if (rows && *rows == config.vocab_size) is_complete = true;
      if (!rows || *rows >= config.vocab_size || *rows > num_tokens) continue;
      fit.patch = sources[i];
      fit.patch_row = num_tokens - *rows;
      if (fit.patch_row <= *base_rows) is_complete = true;
      sources[i] = std::make_shared<WithoutName>(sources[i], name);
    }
    if (!is_complete) {
      log_warning("table_filled_with_zeros",
                  {{"name", name}, {"rows", *base_rows}, {"vocab_size", config.vocab_size}});
    }
    if (fit.patch != nullptr || fit.num_rows != *base_rows) fits[name] = fit;
  }
  if (!fits.empty()) base = std::make_shared<FittedTables>(base, std::move(fits));
  return sources;
}

SourcePtr source_of_tensors(std::map<std::string, Tensor> tensors, const std::string& file) {
  return std::make_shared<LooseTensors>(std::move(tensors), file);
}

}  // namespace llava::checkpoint
