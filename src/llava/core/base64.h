// SPDX-License-Identifier: Apache-2.0
//
// Base64, for pictures in JSON, URLs and pages.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace llava {

/// Decodes the ordinary and the URL-safe alphabet (RFC 4648, sections 4 and 5); white space is
/// skipped, padding may be missing. Nothing for any other character, for data behind the padding
/// and for a length that cannot be.
std::optional<std::string> decode_base64(std::string_view text);

/// Decodes as lenient decoders do: characters of neither alphabet are skipped, and the text ends at
/// its padding. Nothing for a length that cannot be.
std::optional<std::string> decode_base64_leniently(std::string_view text);

/// Encodes in the ordinary alphabet, padded.
std::string encode_base64(std::string_view bytes);

}  // namespace llava
