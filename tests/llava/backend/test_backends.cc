// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/test_backends.h"

#include <map>

#include "llava/backend/native/native_backend.h"
#include "llava/core/thread_pool.h"
#ifdef LLAVA_TEST_TORCH
#include "llava/backend/torch/torch_backend.h"
#endif

namespace llava {
namespace {

// Pools outlive the backends made on them.
ThreadPool& pool_of(int num_threads) {
  static std::map<int, ThreadPool> pools;
  return pools.try_emplace(num_threads, num_threads).first->second;
}

}  // namespace

const std::vector<TestBackend>& test_backends() {
  static const std::vector<TestBackend> backends{
      {"native", [](int num_threads) { return native::make_native_backend(pool_of(num_threads)); }},
#ifdef LLAVA_TEST_TORCH
      {"torch", [](int num_threads) { return make_torch_backend(Device{}, num_threads); }},
#endif
  };
  return backends;
}

}  // namespace llava
