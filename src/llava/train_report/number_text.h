// SPDX-License-Identifier: Apache-2.0
//
// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace llava::train_report {

/// "558,128".   Threads: safe.
std::string count_text(uint64_t count);

/// "512 B", "98.3 MiB", "13.1 GiB".   Threads: safe.
std::string bytes_text(uint64_t bytes);

/// "12.3 s", "4 min 10 s", "1 h 23 min".   Threads: safe.
std::string duration_text(double seconds);

/// At most four significant digits: "0.8312", "2e-05"; "none" for what is no number.
/// Threads: safe.
std::string number_text(double value);

/// "37.5 %" of a whole; "none" when there is no whole.   Threads: safe.
std::string share_text(uint64_t part, uint64_t whole);

}  // namespace llava::train_report
