// SPDX-License-Identifier: Apache-2.0
//
// Keys of the disk cache: everything that the bytes stored under them depend on. They are compared
// whole, so equal keys mean equal content, across restarts and between processes.
//
// A key begins with what it is the key of and the version of the payload's form, then the identity
// of the model (model_identity.h), then the content. Text ids stand as they are; a picture stands
// as its ImageKey, which is a hash of its pixels and of how they are preprocessed, never as its
// interned number, which is a process's own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "llava/engine/generation_request.h"
#include "llava/engine/image_key.h"

namespace llava::engine {

/// Key of a picture's features: the rows that enter the decoder.
std::string features_key(std::string_view identity, const ImageKey& image);

/// What the key of every prefix begins with.
inline constexpr std::string_view kPrefixKeyPrefix = "llava.prefix.1\n";

/// Key of the keys and values of a prompt's first `num_tokens` positions in pages of `page_size`,
/// under the request's cache salt.
std::string prefix_key(std::string_view identity, const GenerationRequest& request,
                       int32_t num_tokens, int32_t page_size);

/// What the key of every pin's record begins with; its name follows.
inline constexpr std::string_view kPinKeyPrefix = "llava.pin.1\n";

/// Key of the record of a pin (pin_record.h). It does not name the model: a name is one pin's in a
/// folder, and the record says whose.
std::string pin_key(std::string_view name);

}  // namespace llava::engine
