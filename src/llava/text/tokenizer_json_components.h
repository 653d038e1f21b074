// SPDX-License-Identifier: Apache-2.0
//
// The components of tokenizer.json, each from its own object. Internal to the reader of that file.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/json.h"
#include "llava/text/pre_tokenizer.h"
#include "llava/text/text_normalizer.h"
#include "llava/text/token_decoder.h"

namespace llava::text {

/// Each takes the value of its key, which may be null, and the name of the file.
///
/// Throws: Error(kBadFormat) or Error(kUnsupported), naming the key or the component.
TextNormalizer parse_normalizer(const Json& value, std::string_view source);
PreTokenizerPtr parse_pre_tokenizer(const Json& value, std::string_view source);
TokenDecoder parse_decoder(const Json& value, std::string_view source);

/// Ids that a post-processor puts around a single text.
struct Surroundings {
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
};
Surroundings parse_post_processor(const Json& value, std::string_view source);

}  // namespace llava::text
