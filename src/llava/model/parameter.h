// SPDX-License-Identifier: Apache-2.0
//
// Parameters and the walk over them. A layer names its parameters and sublayers once, in its
// `describe` member; loading, saving, LoRA, parameter groups and `inspect` are visitors over that.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llava/tensor/tensor.h"

namespace llava::model {

/// One learned tensor: the shape the configuration asks for, and the value once it is loaded.
struct Parameter {
  Shape shape;
  /// A checkpoint may leave it out (the tower's unused last norm, a tied head).
  bool is_optional = false;
  Tensor value;

  Parameter() = default;
  explicit Parameter(Shape expected_shape, bool optional = false)
      : shape(std::move(expected_shape)), is_optional(optional) {}
};

struct Linear;

/// What a walk calls; either may be empty. Names are the original release's checkpoint names.
struct Visitor {
  std::function<void(const std::string& name, Parameter&)> on_parameter;
  std::function<void(const std::string& name, Linear&)> on_linear;
};

/// Walks `describe` members and joins names with dots.
///
/// Threads: one thread at a time; the callbacks may change what they are given.
class Walker {
 public:
  explicit Walker(const Visitor& visitor) : visitor_(visitor) {}

  void operator()(std::string_view name, Parameter& parameter) {
    const Scope scope(*this, name);
    if (visitor_.on_parameter) visitor_.on_parameter(path_, parameter);
  }

  void operator()(std::string_view name, Linear& linear);

  template <class Layer>
  void operator()(std::string_view name, std::vector<Layer>& layers) {
    const Scope scope(*this, name);
    for (std::size_t i = 0; i < layers.size(); ++i) (*this)(std::to_string(i), layers[i]);
  }

  template <class Layer>
  void operator()(std::string_view name, Layer& layer) {
    const Scope scope(*this, name);
    layer.describe(*this);
  }

 private:
  class Scope {
   public:
    Scope(Walker& walker, std::string_view name) : walker_(walker), size_(walker.path_.size()) {
      if (!walker.path_.empty()) walker.path_ += '.';
      walker.path_ += name;
    }
    ~Scope() { walker_.path_.resize(size_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Walker& walker_;
    std::size_t size_;
  };

  const Visitor& visitor_;
  std::string path_;
};

/// Visits every parameter and linear layer below `root`.
template <class Root>
void visit(Root& root, const Visitor& visitor) {
  Walker walker(visitor);
  root.describe(walker);
}

}  // namespace llava::model
