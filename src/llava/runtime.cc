// SPDX-License-Identifier: Apache-2.0
#include "llava/runtime.h"

#include <charconv>
#include <string_view>

#include "llava/backend/native/native_backend.h"
#include "llava/core/error.h"
#ifdef LLAVA_HAS_TORCH
#include "llava/backend/torch/torch_backend.h"
#endif

namespace llava {
namespace {

Device parse_device(std::string_view name) {
  if (name == "cpu") return {};
  if (name == "mps") return {.type = DeviceType::kMps};
  if (name == "cuda") return {.type = DeviceType::kCuda};
  constexpr std::string_view kCudaPrefix = "cuda:";
  if (name.starts_with(kCudaPrefix)) {
    const std::string_view digits = name.substr(kCudaPrefix.size());
    Device device{.type = DeviceType::kCuda};
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), device.index);
    if (error == std::errc() && end == digits.data() + digits.size() && device.index >= 0) {
      return device;
    }
  }
  fail(ErrorCode::kInvalidArgument, "--device is '{}', expected cpu, cuda, cuda:N or mps", name);
}

std::unique_ptr<Backend> torch_backend([[maybe_unused]] Device device,
                                       [[maybe_unused]] int num_threads) {
#ifdef LLAVA_HAS_TORCH
  return make_torch_backend(device, num_threads);
#else
  fail(ErrorCode::kUnavailable,
       "this build has no LibTorch backend, which cuda, mps and --backend torch need: run "
       "scripts/setup --torch and build the preset release-torch");
#endif
}

}  // namespace

bool needs_torch(const RuntimeOptions& options) {
  return options.backend == "torch" || parse_device(options.device).type != DeviceType::kCpu;
}

Runtime::Runtime(const RuntimeOptions& options)
    : pool_(std::make_unique<ThreadPool>(options.threads)) {
  const Device device = parse_device(options.device);
  if (options.backend == "native" && device.type != DeviceType::kCpu) {
    fail(ErrorCode::kInvalidArgument, "--backend native runs on the cpu, but --device is '{}'",
         options.device);
  }
  backend_ = needs_torch(options) ? torch_backend(device, pool_->num_threads())
                                  : native::make_native_backend(*pool_);
}

std::vector<std::string> backend_names() {
#ifdef LLAVA_HAS_TORCH
  return {"native", "torch"};
#else
  return {"native"};
#endif
}

std::vector<std::string> device_names() {
  std::vector<std::string> names{"cpu"};
#ifdef LLAVA_HAS_TORCH
  if (torch_cuda_available()) names.emplace_back("cuda");
  if (torch_mps_available()) names.emplace_back("mps");
#endif
  return names;
}

std::string torch_backend_version() {
#ifdef LLAVA_HAS_TORCH
  return torch_version();
#else
  return {};
#endif
}

}  // namespace llava
