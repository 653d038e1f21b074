// SPDX-License-Identifier: Apache-2.0
//
// Names of tensors. Inside the program every tensor has the name the original release gives it;
// other layouts are translated here, both ways.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "llava/checkpoint/tensor_source.h"

namespace llava::checkpoint {

/// What stands before the names of a CLIP tower that lies inside a checkpoint.
inline constexpr std::string_view kVisionTowerPrefix = "model.vision_tower.vision_tower.";

/// The embedding table and the head: the tensors that have a row for each token.
inline constexpr std::string_view kEmbeddingTable = "model.embed_tokens.weight";
inline constexpr std::string_view kHeadTable = "lm_head.weight";

/// True for buffers that models carry but nobody reads: *.rotary_emb.inv_freq, *.position_ids.
bool is_ignorable_key(std::string_view key);

/// The original's name of a key of any of the three layouts (original, Hugging Face as saved,
/// Hugging Face 4.52 and later in memory); a key that matches none is returned as it is.
std::string canonical_name(std::string_view key);

/// The name that the Hugging Face layout saves a canonical name under.
std::string hugging_face_name(std::string_view canonical);

/// The canonical name of a key of a CLIP tower's own repository; nothing for the text half and the
/// joint projections of a full CLIP.
std::optional<std::string> canonical_tower_name(std::string_view key);

/// The canonical name of a key of mm_projector.bin: what follows the first "mm_projector." behind
/// "model.mm_projector."; the embedding table keeps its name; nothing for any other key.
std::optional<std::string> canonical_projector_file_name(std::string_view key);

/// A new name, or nothing to leave the tensor out.
using KeyMap = std::function<std::optional<std::string>(std::string_view)>;

/// `source` with other names. Ignorable keys are left out as well.
///
/// Throws: Error(kBadFormat) when two tensors get the same name.
std::shared_ptr<const TensorSource> rename_source(std::shared_ptr<const TensorSource> source,
                                                  const KeyMap& map);

/// Refuses files whose weights were quantised by bitsandbytes, GPTQ or AWQ when saved.
///
/// Throws: Error(kUnsupported) naming `what` and the first such key.
void refuse_quantized_keys(const TensorSource& source, std::string_view what);

}  // namespace llava::checkpoint
