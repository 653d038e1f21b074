// SPDX-License-Identifier: Apache-2.0
//
// What a frozen vision tower makes of pictures, kept on disk by the pictures' content: from the
// second time on, neither the tower nor the picture's decoder runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_set>

#include "llava/core/guarded.h"
#include "llava/core/hash.h"
#include "llava/tensor/tensor.h"

namespace llava::train {

/// A folder of features, one file a picture, for one tower with one way to prepare pictures and one
/// compute type; other runs may share it. Bounded: when it is full, pictures are computed again.
///
/// Threads: safe.
class FeatureCache {
 public:
  /// Opens `folder/<recipe>`, which is made when it is not there. `recipe` is a hash of everything
  /// but the picture that features depend on.
  ///
  /// Throws: Error(kNotFound) when the folder cannot be made or read.
  FeatureCache(const std::filesystem::path& folder, const std::string& recipe, int64_t max_bytes);

  /// Whether the features of this content are here. What is here stays here.
  bool has(const Sha256& content) const;
  /// Shapes: [tiles, R, vision width], mapped from the file.   Throws: Error(kBadFormat) for a file
  /// that is damaged.
  Tensor load(const Sha256& content) const;
  /// Keeps features, unless the cache is full. Written beside and renamed.
  ///
  /// Throws: Error(kResourceExhausted) when the disk refuses.
  void store(const Sha256& content, const Tensor& features);

 private:
  struct State {
    std::unordered_set<std::string> names;
    int64_t num_bytes = 0;
  };

  std::filesystem::path file_of(const std::string& name) const;

  std::filesystem::path folder_;
  int64_t max_bytes_;
  Guarded<State> state_;
};

}  // namespace llava::train
