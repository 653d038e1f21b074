// SPDX-License-Identifier: Apache-2.0
//
// Sample: one record ready for a batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "llava/data/picture_reader.h"

namespace llava::data {

/// Token ids with one text::kImageSentinel for each picture, their labels, and the pictures.
struct Sample {
  int64_t index = 0;  ///< position in the file
  std::string id;
  std::vector<int32_t> ids;
  /// The id where it is trained, else text::kIgnoreLabel. A sentinel inside of an answer is its own
  /// label; expanding the picture takes both away.
  std::vector<int32_t> labels;
  std::vector<PreparedPicture> pictures;
  /// Why nothing of the sample is trained; empty when something is.
  std::string warning;
  bool has_image_key = false;
};

/// Labels that are trained, sentinels not counted.   Threads: safe.
int64_t num_trained(const Sample& sample);

/// Positions of the sample in the model: each picture has the rows of its layout, and a picture
/// without a sentinel none.   Threads: safe.
int64_t expanded_length(const Sample& sample);

/// Cuts ids and labels at `max_length`, in which a picture counts as one, as the original's
/// collator does. Of several pictures, those whose sentinel is cut away leave as well; the first
/// always stays.
void cut_to_length(Sample& sample, int64_t max_length);

/// About how much memory the sample holds.
std::size_t sample_bytes(const Sample& sample);

}  // namespace llava::data
