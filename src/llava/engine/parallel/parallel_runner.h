// SPDX-License-Identifier: Apache-2.0
//
// A runner whose model is shared by several ranks: whatever the engine asks of it, all of them do.
#pragma once

#include <memory>
#include <string_view>

#include "llava/engine/model_runner.h"
#include "llava/engine/parallel/model_ranks.h"

namespace llava::engine {

/// The memory of a runner's caches.
struct RunnerMemory {
  DType kv_dtype = DType::kFloat32;
  int32_t num_pages = 0;
  int32_t page_size = 0;
};

/// The leader's. Pictures are encoded by it alone, or tile by tile by all ranks, and their features
/// given to the others.
///
/// Threads: the engine's thread alone.
class ParallelRunner final : public Runner {
 public:
  /// `ranks`, `model`, its share, and what `ctx` refers to outlive the runner. The other ranks get
  /// as much memory for their caches; LeadingRank::wait_until_ready() has ended.
  ///
  /// Throws: Error(kResourceExhausted) when one does not get it.
  ParallelRunner(const Context& ctx, const model::LlavaModel& model, const RunnerMemory& memory,
                 LeadingRank& ranks);

  void encode(uint64_t image, const PreparedImage& picture) override;
  std::vector<float> embed_picture(const PreparedImage& picture, PicturePooling pooling) override {
    return own_->embed_picture(picture, pooling);
  }
  std::vector<float> embed_text(std::span<const int32_t> ids) override;
  void drop(uint64_t image) override;
  void drop_all() noexcept override;
  std::vector<std::byte> read_features(uint64_t image) override {
    return own_->read_features(image);
  }
  bool put_features(uint64_t image, const PreparedImage& picture,
                    std::span<const std::byte> bytes) override;
  /// Of all ranks; read_pages has those of one rank behind those of the other.
  int64_t page_bytes() const override { return own_->page_bytes() * ranks_.size(); }
  void read_pages(std::span<const int32_t> pages, std::span<std::byte> out) override;
  void write_pages(std::span<const int32_t> pages, std::span<const std::byte> bytes) override;
  int32_t num_layers() const override { return own_->num_layers(); }
  void run(const StepPlan& plan, StepLogits& logits) override;

 private:
  /// Of the tiles of a picture, encoded by all ranks: [I, R, D].
  Tensor encode_tiles(const Tensor& pixels_ICHW);
  void give_features(uint64_t image, int32_t num_tokens, std::span<const std::byte> bytes);

  Context ctx_;
  const model::LlavaModel& model_;
  LeadingRank& ranks_;
  std::unique_ptr<ModelRunner> own_;
  StepLogits own_logits_;  ///< of this rank's part of the vocabulary
};

/// Any other rank's part, until the leader ends. `model` is the rank's share of what `name` says.
///
/// Threads: one at a time; it is that of the backend.
void follow_leader(const Context& ctx, const model::LlavaModel& model, std::string_view name,
                   FollowingRank& rank);

}  // namespace llava::engine
