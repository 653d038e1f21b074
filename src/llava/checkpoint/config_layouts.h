// SPDX-License-Identifier: Apache-2.0
//
// The two forms of a LLaVA's config.json; config_json.cc chooses between them.
#pragma once

#include <filesystem>
#include <string>

#include "llava/checkpoint/config_json.h"
#include "llava/core/json.h"

namespace llava::checkpoint {

/// First of `architectures`; empty when there is none.
std::string first_architecture(const JsonObject& config);

/// Throws Error(kUnsupported) with architecture, model_type, `what` and everything that is
/// supported.
[[noreturn]] void refuse_architecture(const JsonObject& config, std::string_view what);

/// The original release's flat config, also that of plain language models.
void read_original_config(const JsonObject& config, CheckpointDescription& description);

/// The nested config of the Hugging Face layout.
void read_hugging_face_config(const JsonObject& config, CheckpointDescription& description);

/// A newer Hugging Face image processor (LlavaImageProcessor with do_pad) restores the original's
/// padding for LLaVA-1.5; its settings lie beside config.json.
void read_hugging_face_padding(const std::filesystem::path& folder,
                               CheckpointDescription& description);

}  // namespace llava::checkpoint
