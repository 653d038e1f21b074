// SPDX-License-Identifier: Apache-2.0
//
// Packed matrices for tests, laid out element by element as docs/kernels.md describes them, and
// activations for them.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "llava/core/random.h"
#include "llava/kernels/dispatch.h"
#include "llava/kernels/packed.h"

namespace llava::kernels {

inline constexpr Packed kAllPacked[] = {kPackedQ4, kPackedQ4Min, kPackedQ8, kPackedQ8Min,
                                        kPackedQ8Half};
std::string packed_name(Packed form);

/// Bytes at a multiple of 64, with nothing readable behind them (address sanitizer).
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t count);
  std::byte* data() const { return bytes_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* bytes) const { operator delete[](bytes, std::align_val_t{64}); }
  };
  std::size_t size_;
  std::unique_ptr<std::byte[], Free> bytes_;
};

/// A matrix of random codes; small random numbers as scales and minima, some of them negative,
/// zero or subnormal.
class PackedMatrix {
 public:
  PackedMatrix(Packed form, int64_t outputs, int64_t inputs, Generator& generator);

  const std::byte* data() const { return bytes_.data(); }
  int64_t outputs() const { return outputs_; }
  int64_t inputs() const { return inputs_; }
  /// What code, scale and minimum say, exactly.
  double weight(int64_t output, int64_t input) const;

 private:
  int64_t outputs_;
  int64_t inputs_;
  std::vector<double> weights_;
  AlignedBytes bytes_;
};

/// Quantised activations of `rows` rows of x.
AlignedBytes quantized(const KernelTable& table, Packed form, const float* x, int64_t rows,
                       int64_t inputs);
inline const PackedActivations* as_activations(const AlignedBytes& bytes) {
  return reinterpret_cast<const PackedActivations*>(bytes.data());
}

/// The outputs [begin, end) of all rows, row after row; others are left at 7.
std::vector<float> packed_product(const KernelTable& table, Packed form, const PackedMatrix& matrix,
                                  const AlignedBytes& x, int64_t rows, const float* bias,
                                  int64_t begin, int64_t end);

std::vector<uint32_t> bits_of(const std::vector<float>& values);

/// Normal-looking activations: mostly small, now and then an outlier.
std::vector<float> random_activations(int64_t count, Generator& generator);

}  // namespace llava::kernels
