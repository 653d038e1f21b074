// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bench/workload.h"

#include <algorithm>
#include <chrono>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// What the cases ask of the cache; at least what the checks before them take.
struct CacheNeed {
  int64_t one_sequence = kBatchContext;
  int64_t num_sequences = 3;
};

CacheNeed cache_need(const model::LlavaModel& model, std::span<const BenchCase> cases) {
  CacheNeed need;
  for (const BenchCase& c : cases) {
    if (c.needs_vision() && !model.config.has_vision) {
      fail(ErrorCode::kInvalidArgument,
           "case '{}' needs a vision tower, but the model is a language model: leave the case out "
           "or choose a LLaVA checkpoint",
           bench_case_name(c));
    }
    if (c.is_question()) continue;  // they have an engine with a cache of its own
    need.one_sequence = std::max(need.one_sequence, int64_t{c.num_text_tokens()});
    need.num_sequences = std::max(need.num_sequences, int64_t{c.num_sequences()});
  }
  return need;
}

}  // namespace

Workload::Workload(Context& ctx, const model::LlavaModel& model, DType kv_dtype,
                   std::span<const BenchCase> cases)
    : model_(ctx, model, kv_dtype, cache_need(model, cases).one_sequence,
             kBatchContext + kBenchSteps, cache_need(model, cases).num_sequences),
      kv_dtype_(kv_dtype) {
  for (const BenchCase& c : cases) {
    most_text_tokens_ = std::max(most_text_tokens_, c.num_text_tokens());
  }
  if (!model.config.has_vision) return;
  const int32_t side = model.config.geometry.tile_size;
  layout_ = image::plan_layout({side, side}, model.config.geometry);
  pixels_ICHW_ = Tensor::empty({layout_.num_tiles(), model.config.vision.num_channels, side, side},
                               DType::kFloat32);
  for (float& value : pixels_ICHW_.mutable_data<float>()) {
    value = static_cast<float>(4.0 * random_.uniform() - 2.0);
  }
}

BenchSample Workload::run(const BenchCase& bench_case) {
  switch (bench_case.kind) {
    case BenchKind::kPrefill:
      return prefill(bench_case.size);
    case BenchKind::kDecode:
      return decode(1, bench_case.size);
    case BenchKind::kBatch:
      return decode(bench_case.size, kBatchContext);
    case BenchKind::kEncode:
      return encode();
    case BenchKind::kFirstToken:
    case BenchKind::kSecondQuestion:
      break;
  }
  return ask(bench_case);
}

BenchSample Workload::prefill(int32_t num_tokens) {
  forget();
  const std::vector<int32_t> ids = random_ids(num_tokens);
  sequences_.resize(1);
  const auto start = Clock::now();
  most_likely(model_.append(sequences_[0], ids));
  return {.ms = {ms_since(start)}};
}

BenchSample Workload::decode(int32_t num_sequences, int32_t context) {
  prepare(num_sequences, context);
  std::vector<int32_t> next = random_ids(num_sequences);
  BenchSample sample;
  for (int32_t i = 0; i < kBenchSteps; ++i) {
    const auto start = Clock::now();
    const Tensor logits_SV = model_.step(sequences_, next);
    for (int32_t s = 0; s < num_sequences; ++s) {
      next[static_cast<std::size_t>(s)] = most_likely(logits_SV.rows(s, s + 1).data<float>());
    }
    sample.ms.push_back(ms_since(start));
  }
  for (CachedSequence& sequence : sequences_) CachedModel::rewind(sequence, context);
  return sample;
}

BenchSample Workload::encode() {
  const auto start = Clock::now();
  const Tensor rows = encode_picture();
  const double ms = ms_since(start);
  const Tensor host = host_to_float32(ops::to_host(model_.context(), rows));
  most_likely(host.data<float>());
  return {.ms = {ms}};
}

BenchSample Workload::ask(const BenchCase& bench_case) {
  if (!questions_) {
    questions_ = std::make_unique<QuestionBench>(model_.context(), model_.model(), kv_dtype_,
                                                 most_text_tokens_);
  }
  const QuestionTimes times = bench_case.kind == BenchKind::kFirstToken
                                  ? questions_->ask_first(bench_case.size)
                                  : questions_->ask_second(bench_case.size);
  return {.ms = {times.first_token_ms}, .encode_ms = times.encode_ms};
}

Tensor Workload::encode_picture() {
  Context& ctx = model_.context();
  return model_.model().merge_tiles(ctx, model_.model().encode_tiles(ctx, pixels_ICHW_),
                                    {&layout_, 1});
}

std::vector<int32_t> Workload::greedy(std::span<const int32_t> prompt, int32_t count) {
  forget();
  sequences_.resize(1);
  std::vector<int32_t> ids{most_likely(model_.append(sequences_[0], prompt))};
  while (static_cast<int32_t>(ids.size()) < count) {
    const Tensor logits_SV = model_.step(sequences_, {&ids.back(), 1});
    ids.push_back(most_likely(logits_SV.data<float>()));
  }
  return ids;
}

std::vector<int32_t> Workload::random_ids(int32_t count) {
  const auto bound = static_cast<uint64_t>(model_.model().config.decoder.vocab_size);
  std::vector<int32_t> ids(static_cast<std::size_t>(count));
  for (int32_t& id : ids) id = static_cast<int32_t>(random_.below(bound));
  return ids;
}

void Workload::prepare(int32_t num_sequences, int32_t context) {
  if (prepared_ == std::pair(num_sequences, context)) return;
  forget();
  sequences_.resize(static_cast<std::size_t>(num_sequences));
  for (CachedSequence& sequence : sequences_) model_.append(sequence, random_ids(context));
  prepared_ = {num_sequences, context};
}

void Workload::forget() {
  for (CachedSequence& sequence : sequences_) model_.release(sequence);
  sequences_.clear();
  prepared_ = {};
}

}  // namespace llava::engine
