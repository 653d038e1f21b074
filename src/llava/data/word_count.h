// SPDX-License-Identifier: Apache-2.0
//
// Words as the published data set counts them, for grouping samples by length.
#pragma once

#include <cstdint>
#include <string_view>

namespace llava::data {

/// len(text.split()) of Python: runs of anything but Unicode white space.   Threads: safe.
int64_t count_words(std::string_view text);

}  // namespace llava::data
