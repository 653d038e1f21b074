// SPDX-License-Identifier: Apache-2.0
//
// Which kernel table runs on this processor. The choice is made once, at the first call of
// active(): the best table the processor can run, or the one that LLAVA_KERNELS names.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llava/kernels/kernel_table.h"

namespace llava::kernels {

/// The tables this processor can run, slowest first: scalar, then avx2, avxvnni, avx512,
/// avx512vnni and avx512bf16, or neon, neondot and neoni8mm.
///
/// Threads: safe.
std::span<const KernelTable* const> available();

/// Chooses among the tables that a processor can run, slowest first: the one named, or the last.
/// A table of this architecture that is not among them is replaced by the last, with a warning;
/// there is a warning as well when there is none but the scalar one.
///
/// Throws: Error(kInvalidArgument) when no table of this architecture has the name.
/// Threads: safe.
const KernelTable& choose_kernels(std::string_view wanted,
                                  std::span<const KernelTable* const> usable);

/// The table in use: choose_kernels of LLAVA_KERNELS, at the first call.
///
/// Throws: Error(kInvalidArgument) when LLAVA_KERNELS names no table of this architecture.
/// Threads: safe.
const KernelTable& active();

/// Puts another table in use for the lifetime of the object; for tests and benchmarks.
///
/// Threads: not while kernels run.
class ScopedKernels {
 public:
  /// Throws: Error(kInvalidArgument) when no available table has this name.
  explicit ScopedKernels(std::string_view name);
  ~ScopedKernels();
  ScopedKernels(const ScopedKernels&) = delete;
  ScopedKernels& operator=(const ScopedKernels&) = delete;

 private:
  const KernelTable* previous_;
};

/// The processor's own name ("AMD EPYC"), or the architecture when it gives none.
std::string cpu_name();
/// Its instruction-set extensions that the kernels can use ("avx2", "avx512f", ...).
std::vector<std::string> cpu_features();

}  // namespace llava::kernels
