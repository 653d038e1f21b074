// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/quantize/activation_recorder.h"

#include "llava/model/parameter.h"

namespace llava::engine {

ActivationRecorder::ActivationRecorder(Backend& backend, model::LlavaModel& model)
    : backend_(backend) {
  model::visit(model, {.on_parameter =
                           [&](const std::string& name, model::Parameter& parameter) {
                             const Tensor& value = parameter.value;
                             if (!value.is_defined() || value.rank() != 2) return;
                             sums_[value.storage().get()] = {name, {}, 0};
                           },
                       .on_linear = {}});
}

Tensor ActivationRecorder::linear(const Tensor& x_TI, const Tensor& weight_OI,
                                  const Tensor& bias_O) {
  const auto it = sums_.find(weight_OI.storage().get());
  if (it != sums_.end()) {
    const Tensor host = host_to_float32(backend_.to_host(x_TI));
    const auto width = static_cast<std::size_t>(weight_OI.dim(1));
    Sums& sums = it->second;
    sums.squares.resize(width);
    const auto values = host.data<float>();
    for (std::size_t row = 0; row < values.size(); row += width) {
      for (std::size_t i = 0; i < width; ++i) {
        sums.squares[i] += double{values[row + i]} * double{values[row + i]};
      }
    }
    sums.num_rows += static_cast<int64_t>(values.size() / width);
  }
  return backend_.linear(x_TI, weight_OI, bias_O);
}

InputMeanSquares ActivationRecorder::mean_squares() const {
  InputMeanSquares result;
  for (const auto& [storage, sums] : sums_) {
    if (sums.num_rows == 0) continue;
    std::vector<float>& means = result[sums.name];
    for (const double square : sums.squares) {
      means.push_back(static_cast<float>(square / static_cast<double>(sums.num_rows)));
    }
  }
  return result;
}

}  // namespace llava::engine
