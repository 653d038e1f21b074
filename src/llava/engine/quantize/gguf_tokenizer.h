// SPDX-License-Identifier: Apache-2.0
//
// The tokenizer of a checkpoint as GGUF metadata (tokenizer.ggml.*).
#pragma once

#include "llava/checkpoint/gguf_writer.h"
#include "llava/engine/checkpoint_place.h"
#include "llava/engine/checkpoint_text.h"

namespace llava::engine {

/// Adds the vocabulary, as many tokens as the table has rows.
///
/// Throws: Error(kUnsupported) for a tokenizer that llama.cpp would have to know by a name that the
/// files do not tell.
void add_gguf_tokenizer(const CheckpointPlace& place, const CheckpointText& text,
                        checkpoint::GgufMetadata& metadata);

}  // namespace llava::engine
