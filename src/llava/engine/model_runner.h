// SPDX-License-Identifier: Apache-2.0
//
// ModelRunner: the network with the memory of its KV cache and of encoded pictures.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "llava/engine/kv_pages.h"
#include "llava/engine/runner.h"
#include "llava/model/llava_model.h"

namespace llava::engine {

/// Threads: one thread at a time; it is that of the backend.
class ModelRunner final : public Runner {
 public:
  /// The model and what `ctx` refers to outlive the runner.
  ///
  /// Throws: Error(kResourceExhausted) when the pages' memory is not to be had.
  ModelRunner(const Context& ctx, const model::LlavaModel& model, DType kv_dtype, int32_t num_pages,
              int32_t page_size);

  void encode(uint64_t image, const PreparedImage& picture) override;
  std::vector<float> embed_picture(const PreparedImage& picture, PicturePooling pooling) override;
  std::vector<float> embed_text(std::span<const int32_t> ids) override;
  void drop(uint64_t image) override { features_.erase(image); }
  void drop_all() noexcept override { features_.clear(); }
  std::vector<std::byte> read_features(uint64_t image) override;
  bool put_features(uint64_t image, const PreparedImage& picture,
                    std::span<const std::byte> bytes) override;
  int64_t page_bytes() const override { return pages_.page_bytes(); }
  void read_pages(std::span<const int32_t> pages, std::span<std::byte> out) override {
    pages_.read(ctx_, pages, out);
  }
  void write_pages(std::span<const int32_t> pages, std::span<const std::byte> bytes) override {
    pages_.write(ctx_, pages, bytes);
  }
  int32_t num_layers() const override { return model_.config.decoder.num_hidden_layers; }
  void run(const StepPlan& plan, StepLogits& logits) override;

  /// Keeps rows that were computed elsewhere as a picture's features: [num_tokens, D].
  void put_features(uint64_t image, Tensor rows_TD);

 private:
  /// The pictures' rows of the step in order, and where they go; undefined when there are none.
  Tensor image_rows(const StepPlan& plan, std::vector<model::FeatureRun>& runs);

  Context ctx_;
  const model::LlavaModel& model_;
  KvPages pages_;
  std::unordered_map<uint64_t, Tensor> features_;
};

}  // namespace llava::engine
