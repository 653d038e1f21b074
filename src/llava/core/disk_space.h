// SPDX-License-Identifier: Apache-2.0
//
// Room on a disk, asked for before long work whose result would not fit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace llava {

/// Throws: Error(kResourceExhausted) naming `what`, the bytes needed, the bytes free and `advice`
/// when the disk of `folder` has fewer than `num_bytes` free. A disk that does not say passes.
void require_disk_space(const std::filesystem::path& folder, uint64_t num_bytes,
                        std::string_view what, std::string_view advice);

}  // namespace llava
