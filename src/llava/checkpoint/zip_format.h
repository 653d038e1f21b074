// SPDX-License-Identifier: Apache-2.0
//
// Signatures of a ZIP archive's records (PKWARE APPNOTE 4.3), which reader and writer share.
#pragma once

#include <cstdint>

namespace llava::checkpoint {

inline constexpr uint32_t kLocalHeader = 0x04034b50;
inline constexpr uint32_t kCentralHeader = 0x02014b50;
inline constexpr uint32_t kEndOfDirectory = 0x06054b50;
inline constexpr uint32_t kEndOfDirectory64 = 0x06064b50;
inline constexpr uint32_t kLocator64 = 0x07064b50;
inline constexpr uint16_t kZip64Extra = 0x0001;

}  // namespace llava::checkpoint
