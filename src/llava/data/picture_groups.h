// SPDX-License-Identifier: Apache-2.0
//
// Random orders in which the samples of a picture are neighbours, so that a micro-batch can share
// its rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llava/data/torch_random.h"

namespace llava::data {

/// A number for each key, equal for equal ones, from 0 in the order in which they come; key 0 is
/// none and gets -1.   Threads: safe.
std::vector<int32_t> number_keys(std::span<const uint64_t> keys);

/// Shuffles the pictures; the samples of each stay in their order. `pictures` has a number for each
/// sample, as number_keys gives them; samples without a picture are each by themselves.
///
/// Throws: Error(kUnsupported) as TorchRandom::randperm.   Threads: safe.
std::vector<int64_t> order_by_picture(std::span<const int32_t> pictures, TorchRandom& random);

}  // namespace llava::data
