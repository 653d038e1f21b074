// SPDX-License-Identifier: Apache-2.0
//
// Opening the tokenizer of a checkpoint folder, whatever files it has.
#pragma once

#include <filesystem>
#include <memory>

#include "llava/text/tokenizer.h"

namespace llava::text {

/// Which of the published library's two implementations to reproduce; they differ in details.
enum class TokenizerForm {
  kAutomatic,  ///< tokenizer.json if there is one, else the slow form
  kSlow,       ///< tokenizer.model through the LLaMA class: what the original uses for LLaMA
  kFast,       ///< tokenizer.json, or tokenizer.model converted: Mistral and all llava-hf layouts
};

/// Opens a folder (with tokenizer_config.json, special_tokens_map.json and added_tokens.json beside
/// the vocabulary) or a bare tokenizer.json or tokenizer.model.
///
/// Throws: Error(kNotFound) naming the files looked for, Error(kBadFormat) or Error(kUnsupported)
/// naming file and key.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder_or_file,
                                          TokenizerForm form = TokenizerForm::kAutomatic);

}  // namespace llava::text
