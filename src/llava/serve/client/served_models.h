// SPDX-License-Identifier: Apache-2.0
//
// What an OpenAI-compatible server says that it serves.
#pragma once

#include <string>
#include <vector>

#include "llava/serve/client/outgoing_http.h"

namespace llava::serve {

/// The name of the first model of the server at `url`, which has no "/v1".
///
/// Throws: Error(kUnavailable) when it does not answer, Error(kBadFormat) when it names none.
std::string first_model(OutgoingHttp& http, const std::string& url,
                        std::vector<HttpHeader> headers);

}  // namespace llava::serve
