// SPDX-License-Identifier: Apache-2.0
//
// A prompt ready for the model: flat token ids in which every picture owns a run of placeholders.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace llava::text {

/// The id that stands for one picture in unexpanded prompts, as the original writes it. It exists
/// only in this folder and in the formats of docs/cli.md; models never see it.
inline constexpr int32_t kImageSentinel = -200;

/// The run of placeholder positions that one picture owns.
struct ImageSpan {
  int32_t offset = 0;      ///< first position in MultimodalSequence::ids
  int32_t num_tokens = 0;  ///< rows of features that go there
  int32_t image = 0;       ///< index of the picture in the request
};

/// Flat ids with placeholders. Placeholder positions hold `kPlaceholderId`, which is never
/// embedded.
struct MultimodalSequence {
  std::vector<int32_t> ids;
  std::vector<ImageSpan> images;
};

inline constexpr int32_t kPlaceholderId = 0;

/// Replaces the i-th sentinel by a run of image_tokens[i] placeholders.
///
/// Throws: Error(kInvalidArgument) naming both counts when sentinels and pictures differ in number.
MultimodalSequence expand_images(std::span<const int32_t> ids_with_sentinels,
                                 std::span<const int32_t> image_tokens);

}  // namespace llava::text
