// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/mapped_weights.h"

namespace llava::engine {

int64_t mapped_weight_bytes(model::LlavaModel& model) {
  int64_t sum = 0;
  const auto add = [&sum](const Tensor& tensor) {
    if (tensor.is_defined() && tensor.storage()->is_foreign()) sum += tensor.num_bytes();
  };
  model::visit(model, {.on_parameter = [&](const std::string&,
                                           model::Parameter& parameter) { add(parameter.value); },
                       .on_linear =
                           [&](const std::string&, model::Linear& linear) {
                             for (const model::LoraAdapter& adapter : linear.adapters) {
                               add(adapter.a_RI);
                               add(adapter.b_OR);
                             }
                           }});
  return sum;
}

}  // namespace llava::engine
