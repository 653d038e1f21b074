// SPDX-License-Identifier: Apache-2.0
//
// An engine over the fake runner, made-up requests for it, and what each request's answer must be:
// computed one request at a time from the definition, without engine, scheduler or caches.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fake_runner.h"
#include "fake_tokenizer.h"
#include "llava/core/random.h"
#include "llava/engine/engine.h"

namespace llava::engine {

inline constexpr int32_t kFakeVocabulary = 512;

/// Ids and log-probabilities of one choice.
struct FakeAnswer {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;
  FinishReason finish_reason = FinishReason::kLength;
  std::string text;
  AnswerUsage usage;
};

inline ImageKey fake_key(int32_t picture) {
  ImageKey key;
  for (std::size_t i = 0; i < 4; ++i) {
    key.digest[i] = static_cast<unsigned char>(picture >> (8 * i));
  }
  key.digest[31] = 1;
  return key;
}

/// A request that shows each picture at its offset in the prompt.
inline GenerationRequest fake_request(std::vector<int32_t> ids,
                                      const std::vector<std::pair<int32_t, int32_t>>& pictures,
                                      int32_t picture_tokens, int32_t max_new_tokens) {
  GenerationRequest request;
  request.prompt.ids = std::move(ids);
  for (const auto& [picture, offset] : pictures) {
    text::ImageSpan span;
    span.offset = offset;
    span.num_tokens = picture_tokens;
    span.image = static_cast<int32_t>(request.images.size());
    std::fill_n(request.prompt.ids.begin() + offset, picture_tokens, text::kPlaceholderId);
    request.prompt.images.push_back(span);
    request.images.push_back({.key = fake_key(picture), .layout = {}, .pixels_ICHW = {}});
  }
  request.params.max_new_tokens = max_new_tokens;
  request.params.sampling.num_logprobs = 0;
  request.params.end_ids = {0};
  return request;
}

/// A request with up to three pictures among `num_pictures`, greedy or sampled.
inline GenerationRequest random_request(Generator& random, int32_t picture_tokens,
                                        int32_t num_pictures, int32_t max_prompt = 200) {
  const auto num_text = static_cast<int32_t>(1 + random.below(static_cast<uint64_t>(max_prompt)));
  std::vector<int32_t> ids;
  std::vector<std::pair<int32_t, int32_t>> pictures;
  // Few beginnings, so that prefixes are shared.
  const auto family = static_cast<int32_t>(random.below(3));
  const auto num_shown = static_cast<int32_t>(random.below(4));
  const auto num_common = static_cast<int32_t>(random.below(static_cast<uint64_t>(num_text)));
  for (int32_t i = 0; i < num_common; ++i) ids.push_back((family * 100 + i) % kFakeVocabulary);
  for (int32_t i = 0; i < num_shown; ++i) {
    pictures.emplace_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(num_pictures))),
                          static_cast<int32_t>(ids.size()));
    ids.resize(ids.size() + static_cast<std::size_t>(picture_tokens));
  }
  for (int32_t i = num_common; i < num_text; ++i) {
    ids.push_back(static_cast<int32_t>(random.below(kFakeVocabulary)));
  }
  GenerationRequest request = fake_request(std::move(ids), pictures, picture_tokens,
                                           static_cast<int32_t>(1 + random.below(24)));
  if (random.below(2) == 0) {
    request.params.sampling.temperature = 0.8f;
    request.params.sampling.top_p = 0.9f;
    request.params.sampling.seed = random();
  }
  request.client = "client" + std::to_string(random.below(3));
  return request;
}

/// One choice of a request, from the definition.
inline FakeAnswer answer_alone(const GenerationRequest& request, int32_t choice = 0) {
  std::vector<Symbol> symbols;
  for (const int32_t id : request.prompt.ids) symbols.push_back({.image = 0, .value = id});
  for (const text::ImageSpan& span : request.prompt.images) {
    const auto& key = request.images[static_cast<std::size_t>(span.image)].key;
    for (int32_t i = 0; i < span.num_tokens; ++i) {
      symbols[static_cast<std::size_t>(span.offset + i)] = {.image = fake_features(key),
                                                            .value = i};
    }
  }
  uint64_t hash = 1;
  for (const Symbol& symbol : symbols) hash = extend_hash(hash, symbol);
  TokenChooser chooser(request.params.sampling, {.end_ids = request.params.end_ids,
                                                 .penalty_ids = request.params.penalty_ids,
                                                 .num_ids = request.params.num_allowed_ids,
                                                 .choice_index = choice});
  ChooserScratch scratch;
  FakeAnswer answer;
  std::vector<float> logits(kFakeVocabulary);
  while (static_cast<int32_t>(answer.ids.size()) < request.params.max_new_tokens) {
    hash_logits(hash, logits);
    const TokenChoice chosen = chooser.choose(logits, scratch);
    chooser.accept(chosen.id);
    answer.ids.push_back(chosen.id);
    answer.logprobs.push_back(chosen.logprob);
    if (std::ranges::find(request.params.end_ids, chosen.id) != request.params.end_ids.end()) {
      answer.finish_reason = FinishReason::kEndToken;
      break;
    }
    hash = extend_hash(hash, {.image = 0, .value = chosen.id});
  }
  return answer;
}

/// Reads a stream to its end: one answer per choice.
inline std::vector<FakeAnswer> read_all(AnswerStream& stream, int32_t num_choices = 1) {
  std::vector<FakeAnswer> answers(static_cast<std::size_t>(num_choices));
  while (const auto delta = stream.next()) {
    FakeAnswer& answer = answers.at(static_cast<std::size_t>(delta->choice));
    for (const TokenChoice& token : delta->tokens) {
      answer.ids.push_back(token.id);
      answer.logprobs.push_back(token.logprob);
    }
    answer.text += delta->text;
    if (delta->finish_reason) answer.finish_reason = *delta->finish_reason;
  }
  for (FakeAnswer& answer : answers) answer.usage = stream.usage();
  return answers;
}

/// An engine whose runner can be looked at.
struct FakeEngine {
  EngineConfig config;
  int32_t num_pages = 0;
  int64_t encoder_cache_bytes = 1 << 20;

  /// What the draft model may hold; no pages: there is none.
  DraftModelConfig draft;

  FakeTokenizer tokenizer{kFakeVocabulary};
  int32_t num_replicas = 1;
  FakeRunner* runner = nullptr;  ///< of the first replica
  FakeRunner* draft_runner = nullptr;
  std::unique_ptr<Engine> engine;

  /// Where the engine keeps things, and whose they are; empty: nowhere.
  std::filesystem::path cache_folder;
  int64_t cache_bytes = 1 << 20;
  std::string model = "model";

  /// `num_tokens` of room in the KV cache.
  explicit FakeEngine(int32_t num_tokens, int32_t page_size = 16) {
    config.scheduler.page_size = page_size;
    num_pages = num_tokens / page_size;
  }

  void start() {
    std::vector<EngineReplica> replicas;
    for (int32_t i = 0; i < num_replicas; ++i) replicas.push_back(make_replica(i == 0));
    engine = std::make_unique<Engine>(config,
                                      EngineMemory{.num_pages = num_pages,
                                                   .encoder_cache_bytes = encoder_cache_bytes,
                                                   .encoder_bytes_per_token = 1},
                                      std::move(replicas), tokenizer, kFakeVocabulary);
  }

  EngineReplica make_replica(bool is_first) {
    EngineReplica replica;
    auto owned =
        std::make_unique<FakeRunner>(num_pages, config.scheduler.page_size, kFakeVocabulary);
    if (is_first) runner = owned.get();
    replica.runner = std::move(owned);
    if (draft.num_pages > 0) {
      auto owned_draft =
          std::make_unique<FakeRunner>(draft.num_pages, draft.scheduler.page_size, draft.num_ids);
      if (is_first) draft_runner = owned_draft.get();
      replica.draft_model = std::make_unique<DraftModel>(draft, std::move(owned_draft));
    }
    replica.cache = open_cache();
    return replica;
  }

  std::unique_ptr<PersistentCache> open_cache() const {
    if (cache_folder.empty()) return nullptr;
    return std::make_unique<PersistentCache>(PersistentCacheConfig{
        .folder = cache_folder,
        .max_bytes = cache_bytes,
        .identity = {.features = model + " features", .prefixes = model + " prefixes"}});
  }
};

}  // namespace llava::engine
