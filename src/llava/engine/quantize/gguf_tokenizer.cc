// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/quantize/gguf_tokenizer.h"

#include <string>
#include <vector>

#include "llava/checkpoint/gguf.h"
#include "llava/checkpoint/gguf_language_model.h"
#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/text/sentencepiece_model.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;

// Types of tokens in GGUF.
constexpr int32_t kNormal = 1;
constexpr int32_t kControl = 3;
constexpr int32_t kUserDefined = 4;
constexpr int32_t kUnused = 5;

struct Vocabulary {
  std::string model;
  std::string pre;
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<int32_t> types;
  std::vector<std::string> merges;
};

// One token for every row of the table, by the tokenizer; `num_normal` of them are no additions.
void add_tokens(const text::Tokenizer& tokenizer, int32_t num_rows, int32_t num_normal,
                Vocabulary& vocabulary) {
  for (int32_t id = 0; id < num_rows; ++id) {
    const bool is_known = id < tokenizer.size();
    std::string token = is_known ? tokenizer.token_text(id) : std::string();
    const bool has_text = !token.empty();
    vocabulary.tokens.push_back(has_text ? std::move(token) : fmt::format("[PAD{}]", id));
    vocabulary.types.push_back(!has_text                  ? kUnused
                               : tokenizer.is_special(id) ? kControl
                               : id < num_normal          ? kNormal
                                                          : kUserDefined);
  }
}

Vocabulary of_sentencepiece(const fs::path& file, const text::Tokenizer& tokenizer,
                            int32_t num_rows) {
  const text::SentencePieceModel model = text::read_sentencepiece_model(file);
  Vocabulary vocabulary{.model = "llama"};
  add_tokens(tokenizer, num_rows, static_cast<int32_t>(model.pieces.size()), vocabulary);
  vocabulary.scores.assign(vocabulary.tokens.size(), -1000.0f);  // additions are never merged into
  for (std::size_t id = 0; id < std::min(model.pieces.size(), vocabulary.tokens.size()); ++id) {
    vocabulary.scores[id] = model.pieces[id].score;
    vocabulary.types[id] = static_cast<int32_t>(model.pieces[id].type);
  }
  return vocabulary;
}

Vocabulary of_tokenizer_json(const fs::path& file, const CheckpointPlace& place,
                             const text::Tokenizer& tokenizer) {
  const Json json = read_json_file(file);
  const JsonObject root(json, fmt::format("'{}'", file.string()));
  const Json* model_json = root.find("model");
  if (model_json == nullptr) root.wrong_type("model", "an object");
  const JsonObject model(*model_json, root.source() + ": model");
  const Json* merges = model.find("merges");
  const Json* vocab = model.find("vocab");
  const model::DecoderConfig& decoder = place.description.config.decoder;
  // llama.cpp knows how texts are cut by a name: that of the family whose vocabulary this is.
  constexpr int32_t kLlama3Tokens = 128000;
  Vocabulary vocabulary{.model = "gpt2"};
  if (decoder.family == model::DecoderFamily::kQwen2) {
    vocabulary.pre = "qwen2";
  } else if (decoder.family == model::DecoderFamily::kLlama && tokenizer.size() >= kLlama3Tokens) {
    vocabulary.pre = "llama-bpe";
  }
  if (vocabulary.pre.empty() || merges == nullptr || !merges->is_array() || vocab == nullptr ||
      !vocab->is_object()) {
    fail(ErrorCode::kUnsupported,
         "'{}' is a tokenizer that --format gguf does not write; supported are tokenizer.model and "
         "the vocabularies of Qwen2 and Llama 3: write a packed store",
         file.string());
  }
  add_tokens(tokenizer, decoder.vocab_size, static_cast<int32_t>(vocab->size()), vocabulary);
  for (const Json& merge : *merges) {
    const bool is_pair =
        merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    if (!is_pair && !merge.is_string()) model.wrong_type("merges", "a list of pairs");
    vocabulary.merges.push_back(is_pair ? merge[0].get<std::string>() + " " +
                                              merge[1].get<std::string>()
                                        : merge.get<std::string>());
  }
  return vocabulary;
}

Vocabulary of_gguf(const fs::path& file, const text::Tokenizer& tokenizer, int32_t num_rows) {
  checkpoint::GgufVocabularyData data =
      checkpoint::read_gguf_vocabulary(*checkpoint::GgufFile::open(file));
  Vocabulary vocabulary{.model = std::move(data.model), .pre = std::move(data.pre)};
  const auto num_stored = data.tokens.size();
  add_tokens(tokenizer, num_rows, static_cast<int32_t>(num_stored), vocabulary);
  const std::size_t num_kept = std::min(num_stored, vocabulary.tokens.size());
  std::copy_n(data.tokens.begin(), num_kept, vocabulary.tokens.begin());
  if (!data.types.empty()) std::copy_n(data.types.begin(), num_kept, vocabulary.types.begin());
  if (!data.scores.empty()) {
    vocabulary.scores.assign(vocabulary.tokens.size(), -1000.0f);
    std::copy_n(data.scores.begin(), num_kept, vocabulary.scores.begin());
  }
  vocabulary.merges = std::move(data.merges);
  return vocabulary;
}

Vocabulary read_vocabulary(const CheckpointPlace& place, const text::Tokenizer& tokenizer) {
  const int32_t num_rows = place.description.config.decoder.vocab_size;
  const fs::path& source = place.language_model();
  if (!fs::is_directory(source)) return of_gguf(source, tokenizer, num_rows);
  if (fs::exists(source / checkpoint::kGgufTokenizerFile)) {
    return of_gguf(source / checkpoint::kGgufTokenizerFile, tokenizer, num_rows);
  }
  if (fs::exists(source / "tokenizer.model")) {
    return of_sentencepiece(source / "tokenizer.model", tokenizer, num_rows);
  }
  return of_tokenizer_json(source / "tokenizer.json", place, tokenizer);
}

}  // namespace

void add_gguf_tokenizer(const CheckpointPlace& place, const CheckpointText& text,
                        checkpoint::GgufMetadata& metadata) {
  const text::Tokenizer& tokenizer = *text.tokenizer;
  const Vocabulary vocabulary = read_vocabulary(place, tokenizer);
  metadata.add("tokenizer.ggml.model", vocabulary.model);
  if (!vocabulary.pre.empty()) metadata.add("tokenizer.ggml.pre", vocabulary.pre);
  metadata.add("tokenizer.ggml.tokens", vocabulary.tokens);
  if (!vocabulary.scores.empty()) metadata.add("tokenizer.ggml.scores", vocabulary.scores);
  metadata.add("tokenizer.ggml.token_type", vocabulary.types);
  if (!vocabulary.merges.empty()) metadata.add("tokenizer.ggml.merges", vocabulary.merges);
  const auto add_id = [&](std::string_view key, const std::optional<int32_t>& id) {
    if (id) metadata.add(key, static_cast<uint32_t>(*id));
  };
  add_id("tokenizer.ggml.bos_token_id", tokenizer.bos_id());
  add_id("tokenizer.ggml.eos_token_id", tokenizer.eos_id());
  add_id("tokenizer.ggml.padding_token_id", tokenizer.pad_id());
  add_id("tokenizer.ggml.unknown_token_id", tokenizer.id_of(tokenizer.named_token("unk_token")));
  metadata.add("tokenizer.ggml.add_bos_token", tokenizer.adds_bos());
  if (text.chat_template) metadata.add("tokenizer.chat_template", text.chat_template->source());
}

}  // namespace llava::engine
