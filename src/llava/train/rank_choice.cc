// SPDX-License-Identifier: Apache-2.0
#include "llava/train/rank_choice.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>

namespace llava::train {
namespace {

constexpr int kRepetitions = 3;
// Elements of the exchange that is timed; a step's is longer in proportion.
constexpr int64_t kExchanged = int64_t{1} << 20;

double seconds_of(const auto& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void run_micro_batch(const StepSample& sample) {
  const at::Tensor loss = summed_loss(sample.ctx, sample.model, sample.batch, sample.options);
  if (loss.defined()) loss.backward();
  for (TrainedParameter& parameter : sample.parameters) parameter.value.mutable_grad().reset();
}

// The least of a few times: what else the machine does only adds.
double micro_batch_seconds(const StepSample& sample) {
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kRepetitions; ++i) {
    least = std::min(least, seconds_of([&] { run_micro_batch(sample); }));
  }
  return least;
}

double exchange_seconds(const std::vector<TrainedParameter>& parameters, RankGroup& group) {
  int64_t count = 0;
  for (const TrainedParameter& parameter : parameters) count += parameter.value.numel();
  const int64_t part = std::max<int64_t>(1, std::min(count, kExchanged) / group.size());
  const at::Tensor parts = at::zeros({group.size(), part});
  const auto exchange = [&] { group.gather_parts(group.sum_parts(parts)); };
  exchange();  // connections and memory are there from then on
  const double seconds = std::min(seconds_of(exchange), seconds_of(exchange));
  return seconds * static_cast<double>(count) / static_cast<double>(part * group.size());
}

}  // namespace

StepTimes measure_step(const StepSample& sample, RankGroup& group) {
  // Pages of the weights are read, and features of pictures are kept.
  run_micro_batch(sample);
  group.wait_for_all();
  const double together = micro_batch_seconds(sample);
  group.wait_for_all();
  const double exchange = exchange_seconds(sample.parameters, group);
  double alone = 0;
  if (group.is_first()) {
    const int threads = at::get_num_threads();
    at::set_num_threads(sample.num_threads_alone);
    run_micro_batch(sample);
    alone = micro_batch_seconds(sample);
    at::set_num_threads(threads);
  }
  // Rank 0 has measured the same micro-batch both ways; the others only kept the machine busy.
  const std::vector<double> mine{together, exchange, alone};
  const std::vector<double> of_first = group.gather(mine).front();
  const double turns = static_cast<double>(sample.accumulation) / group.size();
  return {.together = of_first[0] * turns + of_first[1],
          .alone = of_first[2] * sample.accumulation};
}

}  // namespace llava::train
