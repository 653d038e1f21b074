// SPDX-License-Identifier: Apache-2.0
//
// Workload: runs the cases of `llava bench`, one sample at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "llava/core/random.h"
#include "llava/engine/bench/bench_case.h"
#include "llava/engine/bench/cached_model.h"
#include "llava/engine/bench/question_bench.h"

namespace llava::engine {

/// What one run of a case gave.
struct BenchSample {
  /// kDecode and kBatch: of each step; else of the whole.
  std::vector<double> ms;
  /// Questions: vision tower and projector; the rest is the prefill.
  double encode_ms = 0;
};

/// Prompts and pictures of random numbers. Sampling is greedy, as in an answer: a step ends when
/// its token is known.
///
/// Threads: one thread at a time.
class Workload {
 public:
  /// `cases` says how much cache is needed: only those, and smaller ones, can be run.
  ///
  /// Throws: Error(kInvalidArgument) for a case that needs a vision tower the model does not have,
  /// Error(kResourceExhausted) when the cache does not fit.
  Workload(Context& ctx, const model::LlavaModel& model, DType kv_dtype,
           std::span<const BenchCase> cases);

  /// Runs a case once.
  ///
  /// Throws: Error(kBadFormat) when the logits are not finite.
  BenchSample run(const BenchCase& bench_case);

  /// The `count` most likely tokens after a prompt, one after the other.
  std::vector<int32_t> greedy(std::span<const int32_t> prompt, int32_t count);

  std::vector<int32_t> random_ids(int32_t count);
  CachedModel& model() { return model_; }

 private:
  BenchSample prefill(int32_t num_tokens);
  BenchSample decode(int32_t num_sequences, int32_t context);
  BenchSample encode();
  BenchSample ask(const BenchCase& bench_case);
  Tensor encode_picture();
  void prepare(int32_t num_sequences, int32_t context);
  void forget();

  CachedModel model_;
  DType kv_dtype_;
  std::unique_ptr<QuestionBench> questions_;  // made when it is first needed
  int32_t most_text_tokens_ = 0;
  Generator random_{1};
  Tensor pixels_ICHW_;
  image::ImageLayout layout_;
  std::vector<CachedSequence> sequences_;
  std::pair<int32_t, int32_t> prepared_{};  // how many sequences, of what context
};

}  // namespace llava::engine
