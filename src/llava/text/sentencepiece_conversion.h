// SPDX-License-Identifier: Apache-2.0
//
// The fast form of a SentencePiece BPE model, for folders that hold a tokenizer.model and nothing
// else but whose class asks for the fast form.
#pragma once

#include <string_view>

#include "llava/text/fast_tokenizer.h"
#include "llava/text/sentencepiece_model.h"

namespace llava::text {

/// The components that the published library's LlamaConverter makes; no begin or end token yet.
///
/// Throws: Error(kUnsupported) for unigram models.
FastTokenizerSpec convert_sentencepiece(const SentencePieceModel& model, std::string_view source);

}  // namespace llava::text
