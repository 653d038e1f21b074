// SPDX-License-Identifier: Apache-2.0
#include "llava/data/sample.h"

#include <algorithm>

#include "llava/text/multimodal_sequence.h"
#include "llava/text/supervision.h"

namespace llava::data {

using text::kImageSentinel;

int64_t num_trained(const Sample& sample) {
  return std::count_if(sample.labels.begin(), sample.labels.end(), [](int32_t label) {
    return label != text::kIgnoreLabel && label != kImageSentinel;
  });
}

int64_t expanded_length(const Sample& sample) {
  int64_t length = 0;
  std::size_t picture = 0;
  for (const int32_t id : sample.ids) {
    const bool is_picture = id == kImageSentinel && picture < sample.pictures.size();
    length += is_picture ? sample.pictures[picture++].layout.num_tokens : 1;
  }
  return length;
}

void cut_to_length(Sample& sample, int64_t max_length) {
  if (static_cast<int64_t>(sample.ids.size()) <= max_length) return;
  sample.ids.resize(static_cast<std::size_t>(max_length));
  sample.labels.resize(sample.ids.size());
  const auto left =
      static_cast<std::size_t>(std::count(sample.ids.begin(), sample.ids.end(), kImageSentinel));
  if (sample.pictures.size() > std::max<std::size_t>(1, left)) {
    sample.pictures.resize(std::max<std::size_t>(1, left));
  }
}

std::size_t sample_bytes(const Sample& sample) {
  std::size_t bytes = sizeof(Sample) + (sample.ids.size() + sample.labels.size()) * sizeof(int32_t);
  for (const PreparedPicture& picture : sample.pictures) {
    bytes += sizeof(PreparedPicture) + picture.pixels.values.size() * sizeof(float) +
             picture.layout.source_rows.size() * sizeof(int32_t);
  }
  return bytes;
}

}  // namespace llava::data
