// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bench/random_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "llava/core/random.h"
#include "llava/engine/memory.h"
#include "llava/tensor/packed.h"

namespace llava::engine {
namespace {

// Numbers are made once and repeated: what a kernel computes with does not change its speed, and
// every repetition has its own place in memory.
constexpr std::size_t kBlock = std::size_t{1} << 20;
// Standard deviation of the weights of published decoders.
constexpr float kDeviation = 0.02f;

std::vector<float> random_floats() {
  Generator random(1);
  std::vector<float> block(kBlock);
  const double width = kDeviation * std::sqrt(12.0);
  for (float& value : block) value = static_cast<float>(width * (random.uniform() - 0.5));
  return block;
}

class RandomFiller {
 public:
  RandomFiller() : floats_(Tensor::from_floats({int64_t{kBlock}}, random_floats())) {
    Generator random(2);
    codes_.resize(kBlock);
    for (std::byte& code : codes_) code = static_cast<std::byte>(random() >> 56);
  }

  Tensor matrix(const Shape& shape, DType dtype) {
    Tensor result = Tensor::empty(shape, dtype);
    if (is_packed(dtype)) {
      fill_packed(result);
    } else {
      repeat(host_cast(floats_, dtype).bytes(), result.mutable_bytes());
    }
    return result;
  }

  static Tensor constant(const Shape& shape, DType dtype, float value) {
    Tensor result = Tensor::empty(shape, DType::kFloat32);
    std::ranges::fill(result.mutable_data<float>(), value);
    return host_cast(result, dtype);
  }

 private:
  static void repeat(std::span<const std::byte> block, std::span<std::byte> out) {
    for (std::size_t begin = 0; begin < out.size(); begin += block.size()) {
      std::memcpy(out.data() + begin, block.data(), std::min(block.size(), out.size() - begin));
    }
  }

  // Random codes and one scale for all, that of uniform codes with the deviation wanted.
  void fill_packed(Tensor& matrix) const {
    const PackedLayout layout(matrix.dtype(), matrix.shape());
    const bool is_4_bit = packed_code_bits(matrix.dtype()) == 4;
    const float num_codes = is_4_bit ? 16.0f : 256.0f;
    const float scale = kDeviation * std::sqrt(12.0f) / num_codes;
    const std::span<std::byte> bytes = matrix.mutable_bytes();
    repeat(codes_, bytes);
    const auto scales = half_block(scale, layout.minimum_offset(0) - layout.scale_offset(0));
    const auto minima =
        half_block(-scale * num_codes / 2, layout.panel_bytes() - layout.minimum_offset(0));
    for (int64_t panel = 0; panel < layout.num_panels(); ++panel) {
      std::byte* begin = bytes.data() + panel * layout.panel_bytes();
      std::memcpy(begin + layout.scale_offset(0), scales.data(), scales.size());
      if (!has_minimum(matrix.dtype())) continue;
      std::memcpy(begin + layout.minimum_offset(0), minima.data(), minima.size());
    }
  }

  static std::vector<std::byte> half_block(float value, int64_t num_bytes) {
    const Tensor halves = constant({num_bytes / 2}, DType::kFloat16, value);
    return {halves.bytes().begin(), halves.bytes().end()};
  }

  Tensor floats_;
  std::vector<std::byte> codes_;
};

int64_t bytes_of(const Shape& shape, DType dtype) {
  if (is_packed(dtype)) return packed_bytes(dtype, shape).value_or(0);
  int64_t count = item_size(dtype);
  for (const int64_t size : shape) count *= size;
  return count;
}

struct Planned {
  model::Parameter* parameter;
  DType dtype;
  bool is_matrix;
  float constant;
};

// Which parameter gets which form.
std::vector<Planned> plan(model::LlavaModel& model, const RandomModelForms& forms) {
  std::set<const model::Parameter*> matrices;
  model::visit(model,
               {.on_parameter = {}, .on_linear = [&](const std::string&, model::Linear& linear) {
                  matrices.insert(&linear.weight);
                }});
  const bool has_packed = is_packed(forms.language);
  std::vector<Planned> result;
  model::visit(model, {.on_parameter =
                           [&](const std::string& name, model::Parameter& p) {
                             if (p.is_optional) return;
                             const bool is_matrix = p.shape.size() > 1;
                             DType dtype = forms.language;
                             if (name.find("vision_tower") != std::string::npos) {
                               dtype = forms.vision;
                             } else if (name.find("mm_projector") != std::string::npos) {
                               dtype = forms.projector;
                             } else if (has_packed && !matrices.contains(&p)) {
                               dtype = is_matrix ? DType::kFloat16 : DType::kFloat32;
                             }
                             const bool is_norm = name.find("norm") != std::string::npos;
                             result.push_back({&p, dtype, is_matrix,
                                               is_norm && name.ends_with("weight") ? 1.0f : 0.0f});
                           },
                       .on_linear = {}});
  return result;
}

}  // namespace

std::unique_ptr<model::LlavaModel> make_random_model(Context& ctx, const model::LlavaConfig& config,
                                                     const RandomModelForms& forms,
                                                     const ProgressCallback& on_progress) {
  model::validate(config);
  auto model = std::make_unique<model::LlavaModel>(config);
  const std::vector<Planned> parameters = plan(*model, forms);
  int64_t total = 0;
  for (const Planned& p : parameters) total += bytes_of(p.parameter->shape, p.dtype);
  require_memory(total, "a model of random numbers");
  RandomFiller filler;
  int64_t done = 0;
  for (const Planned& p : parameters) {
    const Tensor value = p.is_matrix
                             ? filler.matrix(p.parameter->shape, p.dtype)
                             : RandomFiller::constant(p.parameter->shape, p.dtype, p.constant);
    p.parameter->value = ops::from_host(ctx, value);
    done += value.num_bytes();
    if (on_progress) on_progress(static_cast<uint64_t>(done), static_cast<uint64_t>(total));
  }
  return model;
}

namespace {

template <class Count>
int64_t sum_over(const model::LlavaModel& model, Count count) {
  // A walk may change what it visits, so it asks for a model that may be changed; this one does
  // not.
  int64_t total = 0;
  model::visit(const_cast<model::LlavaModel&>(model),
               {.on_parameter =
                    [&](const std::string&, model::Parameter& p) {
                      if (p.value.is_defined()) total += count(p.value);
                    },
                .on_linear = {}});
  return total;
}

}  // namespace

int64_t parameter_bytes(const model::LlavaModel& model) {
  return sum_over(model, [](const Tensor& value) { return value.num_bytes(); });
}

int64_t parameter_count(const model::LlavaModel& model) {
  return sum_over(model, [](const Tensor& value) { return value.numel(); });
}

}  // namespace llava::engine
