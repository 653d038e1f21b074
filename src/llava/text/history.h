// SPDX-License-Identifier: Apache-2.0
//
// What a finished answer leaves in the conversation for the next prompt.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "llava/text/tokenizer.h"

namespace llava::text {

/// How an answer is kept.
enum class HistoryMode {
  kPlainText,  ///< the text alone (default)
  /// As the original's terminal chat: the begin token that its generation returns in front, the
  /// answer and its end token all stay in the text (`--compat-history`).
  kOriginal,
};

/// The assistant text to store for an answer of these new ids (end token included if generated).
/// `begin_id` is the generation config's begin token; the tokenizer's where it is absent.
///
/// Throws: Error(kInvalidArgument) if an id is out of range; with kOriginal also if there is no
/// begin token, which the original then cannot start from. Source: LLaVA 1.2.2
/// `llava/serve/cli.py`.
std::string stored_answer(const Tokenizer& tokenizer, std::span<const int32_t> new_ids,
                          HistoryMode mode, std::optional<int32_t> begin_id = std::nullopt);

/// What the original's terminal chat prints after a round with `--debug`: a Python dictionary.
/// Source: LLaVA 1.2.2 `llava/serve/cli.py`.
std::string debug_line(std::string_view prompt, std::string_view answer);

}  // namespace llava::text
