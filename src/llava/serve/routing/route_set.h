// SPDX-License-Identifier: Apache-2.0
//
// RouteSet: something that answers requests, apart from the server in front of it.
#pragma once

#include "llava/serve/routing/router.h"

namespace llava::serve {

class RouteSet {
 public:
  RouteSet() = default;
  /// Ends what is under way; holds no exchange any more.
  virtual ~RouteSet() = default;
  RouteSet(const RouteSet&) = delete;
  RouteSet& operator=(const RouteSet&) = delete;

  /// Adds routes that use this object.
  virtual void add_routes(Router& router) = 0;
  /// What it counts, in the text format 0.0.4; from any thread.
  virtual std::string metrics() { return {}; }
};

}  // namespace llava::serve
