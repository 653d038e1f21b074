// SPDX-License-Identifier: Apache-2.0
#include "llava/train/parameter_shards.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "llava/core/check.h"

namespace llava::train {

ParameterShards::ParameterShards(std::vector<TrainedParameter>& parameters, RankGroup& group,
                                 int64_t bucket_size)
    : parameters_(parameters), group_(group) {
  if (group_.is_alone()) {
    owned_ = parameters_;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      pieces_.push_back(
          {.parameter = i, .begin = 0, .end = parameters_[i].value.numel(), .offset = 0});
    }
    return;
  }
  make_buckets(bucket_size);
  for (Bucket& bucket : buckets_) own_part(bucket);
  for (TrainedParameter& parameter : parameters_) {
    if (!parameter.master.is_same(parameter.value)) parameter.master = at::Tensor();
  }
}

void ParameterShards::make_buckets(int64_t bucket_size) {
  int64_t filled = 0;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& value = parameters_[i].value;
    const bool fits = !buckets_.empty() && filled + value.numel() <= bucket_size &&
                      parameters_[buckets_.back().all.front().parameter].value.scalar_type() ==
                          value.scalar_type();
    if (!fits) {
      buckets_.emplace_back();
      filled = 0;
    }
    Bucket& bucket = buckets_.back();
    bucket.all.push_back({.parameter = i, .begin = 0, .end = value.numel(), .offset = filled});
    filled += value.numel();
    bucket.part_size = (filled + group_.size() - 1) / group_.size();
  }
}

void ParameterShards::own_part(Bucket& bucket) {
  const int64_t part_begin = group_.rank() * bucket.part_size;
  const int64_t part_end = part_begin + bucket.part_size;
  bucket.first_owned = owned_.size();
  for (const Piece& whole : bucket.all) {
    const int64_t begin = std::max(part_begin, whole.offset);
    const int64_t end = std::min(part_end, whole.offset + whole.end);
    if (begin >= end) continue;
    const Piece piece{.parameter = whole.parameter,
                      .begin = begin - whole.offset,
                      .end = end - whole.offset,
                      .offset = begin - part_begin};
    const TrainedParameter& parameter = parameters_[whole.parameter];
    TrainedParameter part{.name = parameter.name,
                          .value = {},
                          .master = {},
                          .part = parameter.part,
                          .decays = parameter.decays};
    const auto cut = [&](const at::Tensor& tensor) {
      return tensor.detach().view(-1).slice(0, piece.begin, piece.end);
    };
    part.value = cut(parameter.value);
    part.master =
        parameter.master.is_same(parameter.value) ? part.value : cut(parameter.master).clone();
    owned_.push_back(std::move(part));
    pieces_.push_back(piece);
  }
  bucket.num_owned = owned_.size() - bucket.first_owned;
}

std::vector<at::Tensor> ParameterShards::sum(const std::vector<at::Tensor>& gradients,
                                             bool in_value_type) {
  if (group_.is_alone()) return gradients;
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> sums;
  for (const Bucket& bucket : buckets_) {
    const at::Tensor& first = parameters_[bucket.all.front().parameter].value;
    const at::ScalarType dtype = in_value_type ? first.scalar_type() : at::kFloat;
    const at::Tensor parts = at::zeros({group_.size() * bucket.part_size},
                                       first.options().dtype(dtype).requires_grad(false));
    for (const Piece& whole : bucket.all) {
      parts.slice(0, whole.offset, whole.offset + whole.end)
          .copy_(gradients[whole.parameter].reshape(-1));
    }
    const at::Tensor mine = group_.sum_parts(parts.view({group_.size(), bucket.part_size}));
    for (std::size_t i = bucket.first_owned; i < bucket.first_owned + bucket.num_owned; ++i) {
      const Piece& piece = pieces_[i];
      sums.push_back(mine.slice(0, piece.offset, piece.offset + piece.end - piece.begin));
    }
  }
  return sums;
}

at::Tensor ParameterShards::pack(const Bucket& bucket, const std::vector<at::Tensor>& of_owned,
                                 at::ScalarType dtype) const {
  const at::Tensor& first = parameters_[bucket.all.front().parameter].value;
  at::Tensor part =
      at::zeros({bucket.part_size}, first.options().dtype(dtype).requires_grad(false));
  for (std::size_t i = bucket.first_owned; i < bucket.first_owned + bucket.num_owned; ++i) {
    const Piece& piece = pieces_[i];
    part.slice(0, piece.offset, piece.offset + piece.end - piece.begin).copy_(of_owned[i]);
  }
  return part;
}

void ParameterShards::share_values() {
  if (group_.is_alone()) return;
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> values;
  for (const TrainedParameter& part : owned_) values.push_back(part.value);
  for (const Bucket& bucket : buckets_) {
    const at::ScalarType dtype = parameters_[bucket.all.front().parameter].value.scalar_type();
    const at::Tensor all = group_.gather_parts(pack(bucket, values, dtype)).view(-1);
    for (const Piece& whole : bucket.all) {
      at::Tensor value = parameters_[whole.parameter].value.detach();
      value.view(-1).copy_(all.slice(0, whole.offset, whole.offset + whole.end));
    }
  }
}

std::vector<at::Tensor> ParameterShards::collect(const std::vector<at::Tensor>& of_owned) {
  LLAVA_CHECK(of_owned.size() == owned_.size());
  if (group_.is_alone()) return of_owned;
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> wholes;
  for (const Bucket& bucket : buckets_) {
    const at::Tensor all = group_.gather_parts_to_first(pack(bucket, of_owned, at::kFloat));
    if (!all.defined()) continue;
    for (const Piece& whole : bucket.all) {
      wholes.push_back(all.view(-1)
                           .slice(0, whole.offset, whole.offset + whole.end)
                           .view(parameters_[whole.parameter].value.sizes()));
    }
  }
  return wholes;
}

at::Tensor ParameterShards::part_of_whole(std::size_t i, const at::Tensor& whole) const {
  if (group_.is_alone()) return whole;
  return whole.reshape(-1).slice(0, pieces_[i].begin, pieces_[i].end);
}

}  // namespace llava::train
