// SPDX-License-Identifier: Apache-2.0
//
// Proof that the other side knows a secret, without sending it: HMAC (RFC 2104) with SHA-256 over
// numbers that are used once.
#pragma once

#include <string_view>

#include "llava/core/hash.h"

namespace llava {

/// Throws: Error(kInternal) if the library refuses.   Threads: safe.
Sha256 hmac_sha256(std::string_view key, std::string_view message);

/// Whether they are equal, in a time that does not tell where they differ.
bool are_equal_secrets(std::string_view a, std::string_view b);

/// 256 bits that nobody can foresee, in hexadecimal: 64 characters.
///
/// Throws: Error(kInternal) if the system has none.   Threads: safe.
std::string fresh_nonce();

}  // namespace llava
