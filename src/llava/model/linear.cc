// SPDX-License-Identifier: Apache-2.0
#include "llava/model/linear.h"

namespace llava::model {

void Walker::operator()(std::string_view name, Linear& linear) {
  const Scope scope(*this, name);
  if (visitor_.on_linear) visitor_.on_linear(path_, linear);
  linear.describe(*this);
}

Tensor Linear::forward(Context& ctx, const Tensor& x) const {
  Tensor y = ops::linear(ctx, x, weight.value, has_bias ? bias.value : Tensor());
  for (const LoraAdapter& adapter : adapters) {
    const Tensor low_rank = ops::linear(ctx, x, adapter.a_RI, Tensor());
    y = ops::add_scaled(ctx, y, ops::linear(ctx, low_rank, adapter.b_OR, Tensor()), adapter.scale);
  }
  return y;
}

}  // namespace llava::model
