// SPDX-License-Identifier: Apache-2.0
#include "llava/text/multimodal_sequence.h"

#include <algorithm>
#include <limits>

#include "llava/core/error.h"

namespace llava::text {

MultimodalSequence expand_images(std::span<const int32_t> ids_with_sentinels,
                                 std::span<const int32_t> image_tokens) {
  const auto num_sentinels = static_cast<size_t>(
      std::count(ids_with_sentinels.begin(), ids_with_sentinels.end(), kImageSentinel));
  if (num_sentinels != image_tokens.size()) {
    fail(
        ErrorCode::kInvalidArgument,
        "the prompt has {} image placeholders and the request has {} images: write one <image> for "
        "each picture",
        num_sentinels, image_tokens.size());
  }
  int64_t num_ids = static_cast<int64_t>(ids_with_sentinels.size() - num_sentinels);
  for (const int32_t tokens : image_tokens) {
    if (tokens < 0) {
      fail(ErrorCode::kInvalidArgument, "an image has {} tokens, expected at least 0", tokens);
    }
    num_ids += tokens;
  }
  if (num_ids > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::kInvalidArgument,
         "the expanded prompt has {} positions, at most {} are possible", num_ids,
         std::numeric_limits<int32_t>::max());
  }
  MultimodalSequence sequence;
  sequence.ids.reserve(static_cast<size_t>(num_ids));
  for (const int32_t id : ids_with_sentinels) {
    if (id != kImageSentinel) {
      sequence.ids.push_back(id);
      continue;
    }
    const auto image = static_cast<int32_t>(sequence.images.size());
    const int32_t tokens = image_tokens[sequence.images.size()];
    sequence.images.push_back({static_cast<int32_t>(sequence.ids.size()), tokens, image});
    sequence.ids.insert(sequence.ids.end(), static_cast<size_t>(tokens), kPlaceholderId);
  }
  return sequence;
}

}  // namespace llava::text
