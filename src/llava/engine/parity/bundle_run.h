// SPDX-License-Identifier: Apache-2.0
//
// One bundle's way through the stages. Each stage compares what it computes with the bundle and
// leaves its result for the next.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "llava/engine/parity/parity.h"
#include "llava/engine/prompt_images.h"
#include "llava/text/conversation.h"

namespace llava::engine {

/// Top-2 distance below which two correct 16-bit programs may choose differently.
double near_tie_margin(DType dtype);
/// Distance of the two largest logits.
float top_margin(std::span<const float> logits);

/// Threads: one thread at a time.
class BundleRun {
 public:
  BundleRun(Context& ctx, const Pretrained& pretrained, const ReferenceBundle& bundle,
            const ParityOptions& options);

  BundleReport run();

 private:
  // bundle_run.cc
  void add(ComparisonRow row) { report_.rows.push_back(std::move(row)); }
  void drop_rows_after_first_failure();
  FloatRule rule(double tolerance) const;
  Tensor host(const Tensor& x);
  Tensor device(const Tensor& reference, DType dtype);
  std::optional<Tensor> given(const std::string& name, const Shape& shape) const;

  // text_stages.cc
  void check_prompt();
  void check_id(const char* tensor, int64_t id, bool is_special) const;
  void check_generation();
  std::vector<int64_t> greedy_ids(int32_t limit, std::vector<float>& margins);
  void check_labels();
  std::vector<text::Message> messages_of(const text::ConversationTemplate& conversation) const;
  std::string prompt_text();
  bool has_two_begins(std::span<const int64_t> reference) const;
  std::vector<int64_t> bundle_ids(std::span<const int32_t> ids) const;
  std::string text_of(std::span<const int64_t> ids) const;
  ComparisonRow compare(const std::string& name, std::span<const int64_t> ours,
                        std::span<const int64_t> reference, int64_t num_compared = -1) const;
  int64_t num_compared(std::span<const float> own_margins) const;
  std::vector<int64_t> given_labels() const;
  std::vector<int64_t> own_labels() const;
  void check_loss(std::span<const int64_t> labels);
  std::vector<int64_t> expand_labels(std::span<const int64_t> labels) const;
  double mean_cross_entropy(std::span<const int64_t> labels);

  // model_stages.cc
  void check_pixels();
  void check_vision();
  void check_decoder();
  int32_t image_depth() const;
  model::Observer vision_observer();
  Tensor isolated_vision(int32_t index, const Tensor& ours);
  Tensor isolated_features(const Tensor& ours);
  void truncate();
  void compare_stage(const std::string& name, const Tensor& value, int32_t depth);
  model::Observer decoder_observer();
  Tensor isolated_hidden(int32_t index, const Tensor& ours);
  void check_logits();
  void judge_top_one(ComparisonRow& row, const Tensor& ours, const Tensor& reference) const;

  Context& ctx_;
  const Pretrained& pretrained_;
  const ReferenceBundle& bundle_;
  const ParityOptions& options_;
  const bool is_judged_;
  const bool is_float32_;
  BundleReport report_;
  std::vector<int32_t> ids_;
  PreparedPrompt prompt_;
  Tensor pixels_ICHW_;
  Shape vision_shape_;  // of each of the tower's hidden states
  Tensor embeds_, hidden_;
  std::vector<SequenceSlice> slices_;
  model::DecoderPass pass_;
};

}  // namespace llava::engine
