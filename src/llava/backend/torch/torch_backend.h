// SPDX-License-Identifier: Apache-2.0
//
// The LibTorch backend: the operations of tensor/ops.h with autograd, on the processor, CUDA and
// MPS. A packed weight stays packed; linear widens it to float32 for the call, which takes four
// bytes per weight of that one matrix. This header needs no LibTorch; torch_tensor.h has the
// conversions for code that does.
#pragma once

#include <memory>
#include <string>

#include "llava/tensor/backend.h"

namespace llava {

/// A backend on `device`. `num_threads` becomes LibTorch's thread count for the whole process; 0
/// leaves LibTorch's own choice.
///
/// Throws: Error(kUnavailable) when LibTorch cannot use the device, Error(kInvalidArgument) for a
/// negative thread count.
/// Threads: call from one thread at a time.
std::unique_ptr<Backend> make_torch_backend(Device device, int num_threads);

/// Chooses whether the operations of a torch backend record what a backward pass needs. Off at
/// start: operations then run under at::InferenceMode and their results never require gradients.
///
/// Throws: Error(kInvalidArgument) for another backend.
void record_gradients(Backend& backend, bool is_recording);

/// Whether LibTorch sees a CUDA device. Threads: safe.
bool torch_cuda_available();
/// Whether LibTorch sees an Apple GPU. Threads: safe.
bool torch_mps_available();
/// Version of the LibTorch this program was built with: "2.13.0".
std::string torch_version();

}  // namespace llava
