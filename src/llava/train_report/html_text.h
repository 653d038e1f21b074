// SPDX-License-Identifier: Apache-2.0
//
// Text for a page: whatever a run's files hold is written so that it can only be read.
#pragma once

#include <string>
#include <string_view>

namespace llava::train_report {

/// The text for between tags or inside double quotes: markup escaped, bytes that are not UTF-8 and
/// control characters but line end and tab replaced by U+FFFD.   Threads: safe.
std::string escape_html(std::string_view text);

}  // namespace llava::train_report
