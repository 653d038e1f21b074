// SPDX-License-Identifier: Apache-2.0
//
// Pictures that clients name by a file: address, below one folder of this machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace llava::serve {

/// The bytes of the file that `url`, "file:///folder/picture.png", names. No link is followed on
/// the way from `folder`, and nothing but a file is read.
///
/// Throws: Error with the reason, for the log: to a client every refusal looks the same.
std::string read_media_file(const std::string& folder, std::string_view url, uint64_t max_bytes);

}  // namespace llava::serve
