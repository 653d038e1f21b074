// SPDX-License-Identifier: Apache-2.0
#include "llava/core/disk_space.h"

#include <system_error>

#include "llava/core/error.h"

namespace llava {

void require_disk_space(const std::filesystem::path& folder, uint64_t num_bytes,
                        std::string_view what, std::string_view advice) {
  constexpr double kMiB = 1024.0 * 1024.0;
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder, error);
  if (error || num_bytes <= space.available) return;
  fail(ErrorCode::kResourceExhausted,
       "{} needs {:.0f} MiB in '{}', but {:.0f} MiB of the disk are free: {}", what,
       static_cast<double>(num_bytes) / kMiB, folder.string(),
       static_cast<double>(space.available) / kMiB, advice);
}

}  // namespace llava
