// SPDX-License-Identifier: Apache-2.0
//
// An adapter or projector over its base, opened to be written as one checkpoint: which tensors that
// has and where each comes from. Nothing is loaded.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "llava/checkpoint/load_model.h"
#include "llava/core/thread_pool.h"
#include "llava/engine/checkpoint_place.h"
#include "llava/engine/checkpoint_text.h"

namespace llava::engine {

/// Whether the vision tower's weights become part of the checkpoint.
enum class TowerWeights {
  kIfOwn,  ///< where base or adapter hold a tower of their own
  kAlways,
};

class AdaptedCheckpoint {
 public:
  /// A tensor of the whole checkpoint, and where it comes from.
  struct Part {
    std::string name;
    std::shared_ptr<const checkpoint::TensorSource> source;

    const checkpoint::TensorInfo& info() const { return source->tensors().at(name); }
  };

  /// Opens tokenizer and weights and checks that they belong together: names, shapes, adapters. A
  /// tower that is not written may be missing from this machine.
  ///
  /// Throws: Error(kNotFound) for a missing tower that is to be written; Error(kBadFormat) when the
  /// base is another; what the readers throw.
  AdaptedCheckpoint(CheckpointPlace& place, const std::string& vision_tower, TowerWeights tower,
                    ThreadPool& pool);

  const CheckpointText& text() const { return text_; }
  const std::vector<Part>& parts() const { return parts_; }
  /// The base's tensors under the original's names.
  const checkpoint::TensorSource& base() const { return *weights_.sources.back(); }
  /// Base or adapter hold a tower that is to be used instead of the published one.
  bool has_own_tower() const { return has_own_tower_; }
  /// The adapter of a weight; null where there is none.
  const model::LoraAdapter* adapter_of(std::string_view weight) const;
  /// Type of the base's language model; float32 where its weights are quantised.
  DType dtype() const;

 private:
  bool find_tower(const std::string& vision_tower, TowerWeights tower);
  bool trains_tower(bool is_tower_separate) const;
  void assign_all(TowerWeights tower);
  void assign_without_tower();
  void add_parts(bool (*is_wanted)(std::string_view));
  void check_projector_adapters() const;

  CheckpointPlace& place_;
  CheckpointText text_;
  std::filesystem::path tower_folder_;
  checkpoint::ModelWeights weights_;
  std::vector<Part> parts_;
  bool has_own_tower_ = false;
};

}  // namespace llava::engine
