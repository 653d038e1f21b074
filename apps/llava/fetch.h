// SPDX-License-Identifier: Apache-2.0
//
// Fetching one resource over HTTP for the user at the terminal.
#pragma once

#include <cstdint>
#include <string>

namespace llava::app {

/// Body of an http or https address, redirects followed (at most five, to the same schemes).
///
/// Throws: Error(kUnavailable) naming the address and the reason (no answer in time, a status other
/// than 200), Error(kBadFormat) for a body of more than `max_bytes`.
std::string fetch(const std::string& address, uint64_t max_bytes);

}  // namespace llava::app
