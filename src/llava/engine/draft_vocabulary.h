// SPDX-License-Identifier: Apache-2.0
//
// Whether one model can draft for another: they must speak in the same tokens.
#pragma once

#include <cstdint>
#include <string_view>

#include "llava/text/tokenizer.h"

namespace llava::engine {

/// How many ids, from 0 on, are the same token for both. Tokenizers may differ in size and in added
/// tokens behind the common ones (an image token, padding).
///
/// Throws: Error(kInvalidArgument) naming the first token that differs.
int32_t num_common_ids(const text::Tokenizer& target, const text::Tokenizer& draft,
                       std::string_view draft_name);

}  // namespace llava::engine
