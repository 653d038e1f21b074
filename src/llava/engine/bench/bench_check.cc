// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bench/bench_check.h"

#include <algorithm>
#include <cmath>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

constexpr int32_t kContext = 23;  // no multiple of a tile, a group or a page
constexpr int32_t kNumSequences = 3;
// Of other backends, whose sums depend on the number of rows: bfloat16's epsilon, some layers deep.
constexpr double kInexactBound = 0.05;

double difference(std::span<const float> a, std::span<const float> b) {
  double most = 0, scale = 1e-30;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::fabs(double{a[i]} - double{b[i]}));
    scale = std::max(scale, std::fabs(double{b[i]}));
  }
  return most / scale;
}

class Checker {
 public:
  Checker(Workload& workload, bool is_exact) : model_(workload.model()), is_exact_(is_exact) {
    for (int32_t s = 0; s < kNumSequences; ++s) {
      prompts_.push_back(workload.random_ids(kContext + s));
      next_.push_back(workload.random_ids(1).front());
    }
  }

  std::vector<BenchCheck> run() {
    check_whole_prompt();
    check_parts();
    check_batch();
    return std::move(checks_);
  }

 private:
  std::vector<float> whole(std::size_t s) {
    std::vector<int32_t> ids = prompts_[s];
    ids.push_back(next_[s]);
    CachedSequence sequence;
    std::vector<float> logits = model_.append(sequence, ids);
    model_.release(sequence);
    return logits;
  }

  void check_whole_prompt() {
    const std::vector<float> expected = whole(0);
    most_likely(expected);
    const auto [least, most] = std::ranges::minmax_element(expected);
    if (!std::isfinite(*least) || *least == *most) {
      fail(ErrorCode::kInternal, "the logits are from {} to {}: the model computes nothing", *least,
           *most);
    }
    CachedSequence sequence;
    model_.append(sequence, prompts_[0]);
    const Tensor logits = model_.step({&sequence, 1}, {&next_[0], 1});
    model_.release(sequence);
    compare("cached step equals whole prompt", logits.data<float>(), expected);
  }

  void check_parts() {
    const std::span<const int32_t> prompt = prompts_[1];
    CachedSequence sequence;
    model_.append(sequence, prompt.first(kContext / 2));
    model_.append(sequence, prompt.subspan(kContext / 2));
    const std::vector<float> logits = model_.append(sequence, {&next_[1], 1});
    model_.release(sequence);
    compare("prompt in parts equals whole prompt", logits, whole(1));
  }

  void check_batch() {
    std::vector<CachedSequence> sequences(kNumSequences);
    for (std::size_t s = 0; s < sequences.size(); ++s) model_.append(sequences[s], prompts_[s]);
    const Tensor logits_SV = model_.step(sequences, next_);
    for (CachedSequence& sequence : sequences) model_.release(sequence);
    for (std::size_t s = 0; s < sequences.size(); ++s) {
      const auto row = static_cast<int64_t>(s);
      compare("sequence of a batch equals the same alone",
              logits_SV.rows(row, row + 1).data<float>(), whole(s));
    }
  }

  void compare(const std::string& name, std::span<const float> found,
               std::span<const float> expected) {
    const double by = difference(found, expected);
    const double bound = is_exact_ ? 0.0 : kInexactBound;
    if (!(by <= bound)) {
      fail(ErrorCode::kInternal, "check '{}' failed: logits differ by {:.3g}, allowed {}", name, by,
           bound);
    }
    if (!checks_.empty() && checks_.back().name == name) {
      checks_.back().difference = std::max(checks_.back().difference, by);
    } else {
      checks_.push_back({name, by});
    }
  }

  CachedModel& model_;
  bool is_exact_;
  std::vector<std::vector<int32_t>> prompts_;
  std::vector<int32_t> next_;
  std::vector<BenchCheck> checks_;
};

}  // namespace

std::vector<BenchCheck> check_workload(Workload& workload, bool is_exact) {
  return Checker(workload, is_exact).run();
}

}  // namespace llava::engine
