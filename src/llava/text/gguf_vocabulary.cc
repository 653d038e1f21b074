// SPDX-License-Identifier: Apache-2.0
#include "llava/text/gguf_vocabulary.h"

#include <array>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/text/fast_tokenizer.h"
#include "llava/text/llama_tokenizer.h"

namespace llava::text {
namespace {

constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// How the published tokenizers of one family cut words.
struct Family {
  std::string_view pattern;
  bool digits_alone = false;   ///< every digit is a word
  bool nfc = false;            ///< the text is brought to NFC first
  bool ignore_merges = false;  ///< words of the vocabulary are taken whole
  bool adds_bos = false;       ///< unless the file says otherwise
};

struct NamedFamily {
  std::string_view pre;
  Family family;
};

constexpr auto kFamilies = std::to_array<NamedFamily>({
    {"gpt-2", {.pattern = kGpt2Pattern}},
    {"mpt", {.pattern = kGpt2Pattern}},
    {"olmo", {.pattern = kGpt2Pattern}},
    {"phi-2", {.pattern = kGpt2Pattern}},
    {"llama-bpe", {.pattern = kLlama3Pattern, .ignore_merges = true, .adds_bos = true}},
    {"llama3", {.pattern = kLlama3Pattern, .ignore_merges = true, .adds_bos = true}},
    {"llama-v3", {.pattern = kLlama3Pattern, .ignore_merges = true, .adds_bos = true}},
    {"dbrx", {.pattern = kLlama3Pattern}},
    {"smaug-bpe", {.pattern = kLlama3Pattern}},
    {"qwen2", {.pattern = kQwen2Pattern, .nfc = true}},
    {"deepseek-r1-qwen", {.pattern = kQwen2Pattern, .nfc = true}},
    {"smollm", {.pattern = kGpt2Pattern, .digits_alone = true}},
    {"starcoder", {.pattern = kGpt2Pattern, .digits_alone = true}},
    {"refact", {.pattern = kGpt2Pattern, .digits_alone = true}},
});

const Family& family_of(const GgufVocabulary& vocabulary) {
  std::string known;
  for (const NamedFamily& entry : kFamilies) {
    if (entry.pre == vocabulary.pre) return entry.family;
    known += known.empty() ? "" : ", ";
    known += entry.pre;
  }
  fail(ErrorCode::kUnsupported,
       "{}: pre-tokenizer '{}' (tokenizer.ggml.pre) is not supported; known are {} and default",
       vocabulary.source, vocabulary.pre, known);
}

PreTokenizerPtr split_isolated(std::string_view pattern) {
  return make_split(RegexPattern(pattern, "GGUF"), SplitBehavior::kIsolated, false);
}

/// Cuts of a file that names no family: GPT-2's, with punctuation apart and digits in threes.
PreTokenizerPtr default_pre_tokenizer() {
  return make_sequence({split_isolated(R"([\p{P}\$\+<=>\^~\|]+)"), split_isolated(kGpt2Pattern),
                        split_isolated(R"(\p{N}+)"), split_isolated("[0-9][0-9][0-9]"),
                        make_byte_level(false, false)});
}

void check(const GgufVocabulary& vocabulary) {
  const std::string& source = vocabulary.source;
  const std::size_t size = vocabulary.tokens.size();
  if (size == 0) {
    fail(ErrorCode::kBadFormat, "{}: tokenizer.ggml.tokens is missing or empty", source);
  }
  if (!vocabulary.token_types.empty() && vocabulary.token_types.size() != size) {
    fail(ErrorCode::kBadFormat, "{}: tokenizer.ggml.token_type has {} entries, expected {}", source,
         vocabulary.token_types.size(), size);
  }
  for (const int32_t type : vocabulary.token_types) {
    if (type < 1 || type > 6) {
      fail(ErrorCode::kBadFormat, "{}: a token has type {}, expected 1 to 6", source, type);
    }
  }
  const auto check_id = [&](const std::optional<int64_t>& id, std::string_view key) {
    if (id && (*id < 0 || std::cmp_greater_equal(*id, size))) {
      fail(ErrorCode::kBadFormat, "{}: tokenizer.ggml.{} is {}, but there are {} tokens", source,
           key, *id, size);
    }
  };
  check_id(vocabulary.bos_id, "bos_token_id");
  check_id(vocabulary.eos_id, "eos_token_id");
  check_id(vocabulary.unk_id, "unknown_token_id");
  check_id(vocabulary.pad_id, "padding_token_id");
}

PieceType type_of(const GgufVocabulary& vocabulary, std::size_t id) {
  return vocabulary.token_types.empty() ? PieceType::kNormal
                                        : static_cast<PieceType>(vocabulary.token_types[id]);
}

/// Calls fn(name, text) for each special token that the file names.
template <class Function>
void for_each_named(const GgufVocabulary& vocabulary, Function&& fn) {
  const std::pair<std::string_view, std::optional<int64_t>> named[] = {
      {"bos_token", vocabulary.bos_id},
      {"eos_token", vocabulary.eos_id},
      {"unk_token", vocabulary.unk_id},
      {"pad_token", vocabulary.pad_id}};
  for (const auto& [name, id] : named) {
    if (id) fn(name, vocabulary.tokens[static_cast<std::size_t>(*id)]);
  }
}

std::unique_ptr<Tokenizer> make_llama(const GgufVocabulary& vocabulary) {
  const std::size_t size = vocabulary.tokens.size();
  if (vocabulary.scores.size() != size) {
    fail(ErrorCode::kBadFormat, "{}: tokenizer.ggml.scores has {} entries, expected {}",
         vocabulary.source, vocabulary.scores.size(), size);
  }
  SentencePieceModel model;
  model.algorithm = SentencePieceAlgorithm::kBpe;
  model.normalizer.add_dummy_prefix = vocabulary.add_space_prefix.value_or(true);
  model.normalizer.remove_extra_whitespaces = false;
  TokenizerSettings settings;
  settings.source = vocabulary.source;
  settings.add_bos_token = vocabulary.add_bos;
  settings.add_eos_token = vocabulary.add_eos;
  for (std::size_t id = 0; id < size; ++id) {
    const PieceType type = type_of(vocabulary, id);
    model.pieces.push_back({vocabulary.tokens[id], vocabulary.scores[id], type});
    model.byte_fallback = model.byte_fallback || type == PieceType::kByte;
    if (type == PieceType::kControl) {
      settings.added[static_cast<int32_t>(id)] = {.content = vocabulary.tokens[id],
                                                  .special = true};
      settings.additional_special_tokens.push_back(settings.added[static_cast<int32_t>(id)]);
    }
  }
  check_sentencepiece_model(model, vocabulary.source);
  for (const std::string_view name : {"bos_token", "eos_token", "unk_token"}) {
    settings.named.try_emplace(std::string(name), std::nullopt);
  }
  for_each_named(vocabulary, [&](std::string_view name, const std::string& text) {
    settings.named[std::string(name)] = AddedToken{.content = text, .special = true};
  });
  settings.named["unk_token"] = AddedToken{
      .content = model.pieces[static_cast<std::size_t>(model.unk_id)].text, .special = true};
  return std::make_unique<LlamaTokenizer>(std::move(model), std::move(settings));
}

void add_merges(const GgufVocabulary& vocabulary, BpeModelSpec& spec) {
  for (const std::string& merge : vocabulary.merges) {
    // A token may begin with the separator only if it is nothing else, which the alphabet excludes.
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string::npos || space + 1 == merge.size()) {
      fail(ErrorCode::kBadFormat, "{}: merge {} is '{}', expected two tokens", vocabulary.source,
           spec.merges.size(), merge);
    }
    spec.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
}

std::unique_ptr<Tokenizer> make_byte_level_bpe(const GgufVocabulary& vocabulary) {
  FastTokenizerSpec spec;
  spec.source = vocabulary.source;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    spec.model.vocab.emplace_back(vocabulary.tokens[id], static_cast<int32_t>(id));
    const PieceType type = type_of(vocabulary, id);
    if (type == PieceType::kControl || type == PieceType::kUserDefined) {
      spec.added_tokens.push_back(
          {.content = vocabulary.tokens[id], .special = type == PieceType::kControl});
    }
  }
  add_merges(vocabulary, spec.model);
  bool adds_bos = false;
  if (vocabulary.pre.empty() || vocabulary.pre == "default") {
    if (vocabulary.pre.empty()) log_warning("gguf_pre_missing", {{"file", vocabulary.source}});
    spec.pre_tokenizer = default_pre_tokenizer();
  } else {
    const Family& family = family_of(vocabulary);
    std::vector<PreTokenizerPtr> steps;
    if (family.digits_alone) steps.push_back(make_digits(true));
    steps.push_back(split_isolated(family.pattern));
    steps.push_back(make_byte_level(false, false));
    spec.pre_tokenizer = make_sequence(std::move(steps));
    if (family.nfc) spec.normalizer.add(TextNormalizer::Form{UnicodeForm::kNfc});
    spec.model.ignore_merges = family.ignore_merges;
    adds_bos = family.adds_bos;
  }
  spec.decoder.add(TokenDecoder::ByteLevel{});
  for_each_named(vocabulary, [&](std::string_view name, const std::string& text) {
    spec.named_tokens[std::string(name)] = text;
  });
  if (vocabulary.add_bos.value_or(adds_bos) && vocabulary.bos_id) {
    spec.prefix.push_back(static_cast<int32_t>(*vocabulary.bos_id));
  }
  if (vocabulary.add_eos.value_or(false) && vocabulary.eos_id) {
    spec.suffix.push_back(static_cast<int32_t>(*vocabulary.eos_id));
  }
  return std::make_unique<FastTokenizer>(std::move(spec));
}

}  // namespace

std::unique_ptr<Tokenizer> make_gguf_tokenizer(const GgufVocabulary& vocabulary) {
  check(vocabulary);
  if (vocabulary.model == "llama") return make_llama(vocabulary);
  if (vocabulary.model == "gpt2") return make_byte_level_bpe(vocabulary);
  fail(ErrorCode::kUnsupported,
       "{}: tokenizer model '{}' (tokenizer.ggml.model) is not supported, expected llama or gpt2",
       vocabulary.source, vocabulary.model);
}

}  // namespace llava::text
