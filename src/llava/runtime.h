// SPDX-License-Identifier: Apache-2.0
//
// Where the model runs: threads, backend and device, chosen once per engine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "llava/core/config.h"
#include "llava/core/thread_pool.h"
#include "llava/tensor/ops.h"

namespace llava {

/// What the user chose. `cpu` runs on the native backend, `cuda` and `mps` on LibTorch.
struct RuntimeOptions {
  std::string device = "cpu";
  std::string backend = "auto";
  int32_t threads = 0;

  template <class V>
  void describe(V& v) {
    v.field("device", device, "cpu, cuda, cuda:N or mps");
    v.field("backend", backend, "native (cpu) or torch, instead of the device's own",
            one_of({"auto", "native", "torch"}));
    v.field("threads", threads, "threads to compute with; 0: one per core, or LLAVA_THREADS",
            in_range(0, 4096));
  }
};

/// A thread pool and a backend. Two of them can live in one process.
///
/// Threads: one thread at a time.
class Runtime {
 public:
  /// Throws: Error(kInvalidArgument) for an unknown device, Error(kUnavailable) for one that this
  /// build or machine does not have, saying what to do.
  explicit Runtime(const RuntimeOptions& options);

  Context context() { return {*backend_, pool_.get()}; }
  std::string backend_name() const { return std::string(backend_->name()); }
  int num_threads() const { return pool_->num_threads(); }

 private:
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Backend> backend_;
};

/// Whether a Runtime with these options runs on LibTorch. Throws: Error(kInvalidArgument) for an
/// unknown device.
bool needs_torch(const RuntimeOptions& options);

/// Backends of this build: "native", and "torch" when it was built with LibTorch.
std::vector<std::string> backend_names();
/// Devices that a Runtime can be opened on here.
std::vector<std::string> device_names();
/// Version of LibTorch, empty without it.
std::string torch_backend_version();

}  // namespace llava
