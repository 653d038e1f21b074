// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/divergence.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "llava/core/error.h"
#include "llava/tensor/ops.h"

namespace llava::engine {
namespace {

// Logits of the rows, host float32 [rows, V].
Tensor logits_of(Context& ctx, const model::LlavaModel& model, const ScoredText& text) {
  const auto length = static_cast<int32_t>(text.ids.size());
  std::vector<int32_t> positions(text.ids.size());
  std::iota(positions.begin(), positions.end(), 0);
  const SequenceSlice slice{.first_token = 0, .num_tokens = length, .num_past = 0, .pages = {}};
  const Tensor embedded = model.embed(ctx, text.ids, Tensor(), {});
  const Tensor hidden = model.decode(ctx, embedded, positions, {&slice, 1}, nullptr);
  const Tensor rows = ops::gather_rows(ctx, hidden, text.rows);
  return host_to_float32(ops::to_host(ctx, model.logits(ctx, rows)));
}

// The logarithm of the sum of exponentials.
double log_sum(std::span<const float> logits) {
  const double largest = static_cast<double>(*std::ranges::max_element(logits));
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - largest);
  return largest + std::log(sum);
}

}  // namespace

void add_divergence(Context& ctx, const model::LlavaModel& reference,
                    const model::LlavaModel& model, const ScoredText& text, Divergence& total) {
  if (text.rows.empty()) return;
  const Tensor expected = logits_of(ctx, reference, text);
  const Tensor found = logits_of(ctx, model, text);
  if (expected.dim(1) != found.dim(1)) {
    fail(ErrorCode::kInvalidArgument,
         "the models have {} and {} tokens: only distributions over the same vocabulary can be "
         "compared",
         expected.dim(1), found.dim(1));
  }
  const auto width = static_cast<std::size_t>(expected.dim(1));
  for (std::size_t row = 0; row < text.rows.size(); ++row) {
    const std::span<const float> p = expected.data<float>().subspan(row * width, width);
    const std::span<const float> q = found.data<float>().subspan(row * width, width);
    const double log_p = log_sum(p), log_q = log_sum(q);
    double divergence = 0;
    for (std::size_t i = 0; i < width; ++i) {
      const double log_ratio =
          (static_cast<double>(p[i]) - log_p) - (static_cast<double>(q[i]) - log_q);
      divergence += std::exp(static_cast<double>(p[i]) - log_p) * log_ratio;
    }
    total.sum += divergence;
    total.num_same +=
        std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin();
    ++total.num_tokens;
  }
}

}  // namespace llava::engine
