// SPDX-License-Identifier: Apache-2.0
//
// The parts of a multipart/form-data body (RFC 7578, RFC 2046 section 5.1).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llava::serve {

/// One field of a form.
struct FormPart {
  std::string name;
  std::optional<std::string> filename;
  std::string_view body;  ///< within the parsed body
};

/// `content_type` is the request's, with its boundary. At most 32 parts.
///
/// Throws: ApiError 415 for another type, 400 `invalid_multipart` for what cannot be read in one
/// way only.
std::vector<FormPart> parse_multipart(std::string_view content_type, std::string_view body);

}  // namespace llava::serve
