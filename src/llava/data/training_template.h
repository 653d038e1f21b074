// SPDX-License-Identifier: Apache-2.0
//
// What --version means: the conversation template of a training run and the token that pads its
// batches.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "llava/data/compat.h"
#include "llava/text/conversation.h"
#include "llava/text/tokenizer.h"

namespace llava::data {

/// Added to the vocabulary by `--version v0` where a tokenizer has no padding token.
inline constexpr std::string_view kAddedPadToken = "[PAD]";

/// The template that `--version` chooses. "v0" and "v0.5" train with vicuna_v1, as published.
///
/// Throws: Error(kInvalidArgument) with the nearest and all names for an unknown one; with
/// Compat::kReference that is vicuna_v1 as well, and a line in the log.   Threads: safe.
/// Source: LLaVA 1.2.2 `llava/train/train.py`, train().
const text::ConversationTemplate& training_template(std::string_view version, Compat compat);

/// Whether `--version` makes the vocabulary grow by kAddedPadToken for this tokenizer.
bool needs_pad_token(std::string_view version, const text::Tokenizer& tokenizer);

/// The id that pads batches: the tokenizer's own with "v0", otherwise that of its unknown token, or
/// its own again where it has none; 0 if there is neither. With "v0", add what needs_pad_token asks
/// for first.
int32_t training_pad_id(std::string_view version, const text::Tokenizer& tokenizer);

}  // namespace llava::data
