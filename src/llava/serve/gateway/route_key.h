// SPDX-License-Identifier: Apache-2.0
//
// What of a request decides where it goes.
#pragma once

#include <string>

#include "llava/core/json.h"

namespace llava::serve {

struct RouteKey {
  std::string model;  ///< empty: the request names none
  /// The same for requests that share cached work: a hash of the cache's scope and of the first
  /// picture as it was sent, or where there is none, of how the text begins.
  std::string prefix;
};

/// Reads the body of any endpoint; what is malformed is for the worker to refuse.
RouteKey read_route_key(const OrderedJson& body);

}  // namespace llava::serve
