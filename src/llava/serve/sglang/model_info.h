// SPDX-License-Identifier: Apache-2.0
//
// What an SGLang server says of its model.
#pragma once

#include <string>

#include "llava/serve/client/outgoing_http.h"

namespace llava::serve {

/// A server that speaks SGLang's protocol.
struct SglangEndpoint {
  std::string url;      ///< its base address, without a slash at its end
  std::string api_key;  ///< shown to it; empty: none

  OutgoingRequest request(const std::string& path, std::string body = {}) const;
};

struct SglangModel {
  std::string path;  ///< of the checkpoint, or its name
  bool sees_images = false;
};

/// Asks GET /get_model_info.
///
/// Throws: Error(kUnavailable) when it does not answer, Error(kBadFormat) when that is no answer of
/// an SGLang server; both name the address.
SglangModel ask_model_info(OutgoingHttp& http, const SglangEndpoint& endpoint);

}  // namespace llava::serve
