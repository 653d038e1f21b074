// SPDX-License-Identifier: Apache-2.0
//
// The flags that say how a training file becomes samples, and the tokenizer and picture rules they
// name, without any weights.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "llava/core/config.h"
#include "llava/data/sample_maker.h"
#include "llava/text/tokenizer.h"

namespace llava::app {

/// Flags of the original's trainer that bear on data.
struct TrainingDataOptions {
  std::string image_folder;
  std::string model_name_or_path;
  std::string version = "v1";
  int64_t model_max_length = 512;
  std::string vision_tower;
  std::string image_aspect_ratio;
  std::string image_grid_pinpoints;
  bool mm_use_im_start_end = false;
  std::string compat = "intended";

  template <class V>
  void describe(V& v) {
    v.field("image-folder", image_folder, "folder that the paths of pictures begin in");
    v.field("model-name-or-path", model_name_or_path,
            "checkpoint or language model whose tokenizer makes the ids; without it labels and "
            "lengths are not looked at");
    v.field("version", version, "conversation template of the training");
    v.field("model-max-length", model_max_length, "most positions of a sample",
            at_least(int64_t{1}));
    v.field("vision-tower", vision_tower,
            "published name or folder of the tower, for the size of pictures; without it the "
            "checkpoint's own, else a picture counts as one token");
    v.field("image-aspect-ratio", image_aspect_ratio,
            "pad, square or anyres; without it the checkpoint's, else square");
    v.field("image-grid-pinpoints", image_grid_pinpoints,
            "sizes for anyres: pairs of pixels as a Python list, or tiles (1x1),...,(6x6); without "
            "them the checkpoint's");
    v.field("mm-use-im-start-end", mm_use_im_start_end,
            "put <im_start> and <im_end> around pictures");
    v.field("compat", compat,
            "labels as they are meant, or as the original's arithmetic makes them",
            one_of({"intended", "reference"}));
  }
};

/// What a SampleMaker needs.
struct TrainingData {
  std::unique_ptr<text::Tokenizer> tokenizer;  ///< null without a model
  data::SampleRules rules;
};

/// Opens what the flags name.
///
/// Throws: Error(kInvalidArgument) for an unknown template or aspect; what opening the model's and
/// the tower's files throws.
TrainingData open_training_data(const TrainingDataOptions& options);

}  // namespace llava::app
