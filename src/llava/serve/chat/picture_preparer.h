// SPDX-License-Identifier: Apache-2.0
//
// PicturePreparer: makes of a request's pictures what the model sees, and remembers the last ones.
#pragma once

#include <string>
#include <vector>

#include "llava/core/function_ref.h"
#include "llava/core/guarded.h"
#include "llava/engine/lru_map.h"
#include "llava/engine/pretrained.h"
#include "llava/engine/prompt_images.h"
#include "llava/serve/media/image_input.h"
#include "llava/serve/metrics/server_metrics.h"

namespace llava::serve {

/// Threads: safe; each call takes a while.
class PicturePreparer {
 public:
  /// `pretrained` and `metrics` outlive it.
  PicturePreparer(const engine::Pretrained& pretrained, const ImageLimits& limits,
                  ServerMetrics& metrics);

  /// Decodes and preprocesses a picture file, or remembers what came of it before. Each is counted,
  /// also one that cannot be used.
  ///
  /// Throws: what decode_image throws.
  engine::PreparedImage prepare_bytes(const std::string& bytes, const ImageSource& source,
                                      const std::string& aspect_ratio = {});
  /// The same of a picture that a request names and that is there.
  engine::PreparedImage prepare(const ImageSource& source, const std::string& aspect_ratio = {});
  std::vector<engine::PreparedImage> prepare_all(const std::vector<ImageSource>& sources,
                                                 const std::string& aspect_ratio = {});

 private:
  using Pictures = engine::LruMap<std::string, engine::PreparedImage>;

  /// Counts why a picture could not be had, if so.
  engine::PreparedImage counted(FunctionRef<engine::PreparedImage()> prepare);
  engine::PreparedImage find_or_prepare(const std::string& bytes, const ImageSource& source,
                                        const std::string& aspect_ratio);

  const engine::Pretrained& pretrained_;
  ImageLimits limits_;
  ServerMetrics& metrics_;
  Guarded<Pictures> pictures_;
};

}  // namespace llava::serve
