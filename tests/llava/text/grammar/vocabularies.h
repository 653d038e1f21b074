// SPDX-License-Identifier: Apache-2.0
//
// The small vocabularies of the tokenizer tests, of every kind, for grammars to choose from.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/text/fast_tokenizer.h"
#include "llava/text/grammar/vocabulary.h"
#include "llava/text/load_tokenizer.h"
#include "llava/text/tokenizer_json.h"
#include "support/paths.h"

namespace llava::text::grammar {

/// A byte-level one, two with byte pieces behind a metaspace, and two of SentencePiece files.
inline std::vector<std::string> vocabulary_names() {
  return {"gpt2",
          "smollm2",
          "prepend",
          "flags",
          "metaspace_first_whole",
          "bpe_llama.model",
          "unigram_bytes.model"};
}

inline std::unique_ptr<Tokenizer> open_vocabulary(const std::string& name) {
  const std::filesystem::path folder = test_data() / "text";
  if (name.ends_with(".model")) return load_tokenizer(folder / name);
  const Json tokenizers = read_json_file(folder / "tokenizers.json");
  return std::make_unique<FastTokenizer>(parse_tokenizer_json(to_text(tokenizers.at(name)), name));
}

/// Its tokens; the end token is its own, or else the first special one.
inline std::shared_ptr<const Vocabulary> vocabulary_of(const Tokenizer& tokenizer) {
  int32_t end = tokenizer.eos_id().value_or(0);
  for (int32_t id = tokenizer.size() - 1; id >= 0 && !tokenizer.eos_id(); --id) {
    if (tokenizer.is_special(id)) end = id;
  }
  return std::make_shared<const Vocabulary>(tokenizer, std::vector{end}, tokenizer.size());
}

}  // namespace llava::text::grammar
