// SPDX-License-Identifier: Apache-2.0
//
// Reading tokenizer.json, the format of the published tokenizers library.
#pragma once

#include <filesystem>
#include <string_view>

#include "llava/text/fast_tokenizer.h"

namespace llava::text {

/// Parses the text of a tokenizer.json with a BPE model; `source` names it in messages.
///
/// Throws: Error(kBadFormat) naming the key for malformed content, Error(kUnsupported) naming the
/// component for one that we do not have.
FastTokenizerSpec parse_tokenizer_json(std::string_view text, std::string_view source);

/// Reads and parses a file.
///
/// Throws: Error(kNotFound), and what parse_tokenizer_json throws.
FastTokenizerSpec read_tokenizer_json(const std::filesystem::path& path);

}  // namespace llava::text
