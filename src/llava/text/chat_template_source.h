// SPDX-License-Identifier: Apache-2.0
//
// Where a checkpoint folder keeps its chat template.
#pragma once

#include <filesystem>
#include <optional>

#include "llava/text/chat_template.h"

namespace llava::text {

/// The chat template of a folder: `chat_template.jinja`, else `chat_template.json`, else the key
/// `chat_template` of `tokenizer_config.json` (a text, or a list of named templates of which
/// "default" is taken). Absent if there is none.
///
/// Throws: Error(kBadFormat) naming the file and key; as ChatTemplate::parse().
std::optional<ChatTemplate> find_chat_template(const std::filesystem::path& folder);

}  // namespace llava::text
