// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/torch/torch_device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <string>

#include "llava/backend/torch/torch_backend.h"
#include "llava/core/error.h"

namespace llava {
namespace {

void require_cuda(int index) {
  if (!LLAVA_TORCH_HAS_CUDA) {
    fail(ErrorCode::kUnavailable,
         "device 'cuda' was asked for, but LibTorch {} was built without CUDA: use '--device cpu', "
         "or build with a LibTorch for CUDA (-DLLAVA_TORCH_DIR)",
         LLAVA_TORCH_VERSION);
  }
  if (!at::hasCUDA()) {
    fail(ErrorCode::kUnavailable,
         "device 'cuda' was asked for, but LibTorch {} found no CUDA device: check the driver with "
         "nvidia-smi, or use '--device cpu'",
         LLAVA_TORCH_VERSION);
  }
  const auto count = static_cast<int>(at::getNumGPUs());
  if (index < 0 || index >= count) {
    fail(ErrorCode::kUnavailable,
         "device 'cuda:{}' was asked for, but LibTorch found {} CUDA device(s): choose an index "
         "below {}",
         index, count, count);
  }
}

}  // namespace

void require_torch_device(Device device) {
  switch (device.type) {
    case DeviceType::kCpu:
      return;
    case DeviceType::kCuda:
      require_cuda(device.index);
      return;
    case DeviceType::kMps:
      if (at::hasMPS()) return;
      fail(ErrorCode::kUnavailable,
           "device 'mps' was asked for, but LibTorch {} found no Apple GPU: use '--device cpu'",
           LLAVA_TORCH_VERSION);
  }
}

void configure_torch(int num_threads) {
  if (num_threads > 0 && num_threads != at::get_num_threads()) at::set_num_threads(num_threads);
  at::globalContext().setAllowFP16ReductionCuBLAS(false);
  at::globalContext().setAllowBF16ReductionCuBLAS(false);
}

bool torch_cuda_available() { return LLAVA_TORCH_HAS_CUDA && at::hasCUDA(); }
bool torch_mps_available() { return at::hasMPS(); }
std::string torch_version() { return LLAVA_TORCH_VERSION; }

}  // namespace llava
