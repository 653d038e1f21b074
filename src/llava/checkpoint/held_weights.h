// SPDX-License-Identifier: Apache-2.0
//
// From what a source stores to what a model holds: the dtype of every parameter, and the steps that
// bring a tensor there on the host (adapters merged, rounded, quantised).
#pragma once

#include <span>
#include <string_view>

#include "llava/checkpoint/load_model.h"
#include "llava/checkpoint/quantize_weights.h"
#include "llava/checkpoint/weight_assignment.h"

namespace llava::checkpoint {

/// Parameters of the vision tower, and of the projector, by name.
bool is_vision_name(std::string_view name);
bool is_projector_name(std::string_view name);

/// The dtype to hold a parameter in that is stored in another one.
///
/// A packed matrix that an adapter is merged into does not stay in its form, whose very grid it
/// lies on: updates of less than half a step would all be rounded away. It has the form that is
/// asked for, else q8; where that is its own form, the other one of as many bits.
class HeldDtypes {
 public:
  /// Keeps references to both.
  HeldDtypes(const ModelWeights& weights, const LoadModelOptions& options, bool is_head_tied)
      : weights_(weights), options_(options), is_head_tied_(is_head_tied) {}

  DType of(std::string_view name, const Shape& shape, DType stored) const;
  /// The adapter that is added to the weight of this name; null if none is.
  const model::LoraAdapter* adapter_to_merge(std::string_view name) const;

 private:
  DType compute_dtype(std::string_view name) const;

  const ModelWeights& weights_;
  const LoadModelOptions& options_;
  bool is_head_tied_;
};

/// A parameter on its way into a model.
struct HeldWeight {
  Tensor value;             ///< host memory; packed as it will be held, or a float type
  DType dtype;              ///< it will be held in; to cast to when the value is a float
  QuantizationError error;  ///< of packing it now; zeros otherwise
};

/// Reads parameters one by one.
///
/// Threads: one thread at a time; quantises on the pool.
class WeightReader {
 public:
  /// Keeps references to all of them.
  WeightReader(ThreadPool& pool, const ModelWeights& weights, const LoadModelOptions& options,
               bool is_head_tied)
      : pool_(pool), options_(options), held_(weights, options, is_head_tied) {}

  /// `importance` weighs the inputs of a matrix that is quantised, see quantize_matrix.
  ///
  /// Throws: what the source throws.
  HeldWeight read(const WeightAssignment& assignment, std::span<const float> importance = {});

 private:
  ThreadPool& pool_;
  const LoadModelOptions& options_;
  HeldDtypes held_;
};

}  // namespace llava::checkpoint
