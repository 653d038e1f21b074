// SPDX-License-Identifier: Apache-2.0
//
// HubClient: single requests to the hub (libcurl). Whether one that failed is made again is for
// others to decide.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "llava/hub/hub_settings.h"
#include "llava/hub/response_head.h"

namespace llava::hub {

struct HubRequest {
  std::string url;
  bool is_head = false;  ///< only the head; redirects to other hosts are not followed
  uint64_t begin = 0;    ///< first byte wanted
  uint64_t end = 0;      ///< one behind the last byte wanted; 0: everything, without a range
  /// Takes the body of an answer with status 200 or 206, in order; false ends the request.
  std::function<bool(const ResponseHead& head, std::string_view bytes)> on_bytes = {};
};

struct HubAnswer {
  ResponseHead head;         ///< of the last answer; status 0: there was none
  std::string url;           ///< that answered, behind all redirects
  std::string error;         ///< why it is not whole; empty: it is
  bool is_hopeless = false;  ///< the same request would fail in the same way

  bool is_ok() const { return error.empty() && (head.status == 200 || head.status == 206); }
};

/// Connections stay open from request to request.
///
/// Threads: one thread at a time; others may request the stop.
class HubClient {
 public:
  /// A stop ends the request under way, with an error.
  explicit HubClient(const HubSettings& settings, std::stop_token stop = {});
  /// Makes one request and follows its redirects, at most five and never from https to http. The
  /// token goes to the scheme, host and port of the endpoint only.
  ///
  /// Throws: Error(kUnavailable) when the settings say offline.
  HubAnswer send(const HubRequest& request);

 private:
  struct Transfer;

  void send_once(const HubRequest& request, HubAnswer& answer);

  HubSettings settings_;
  std::string origin_;  ///< of the endpoint
  std::stop_token stop_;
  std::unique_ptr<void, void (*)(void*)> curl_;  ///< libcurl's handle of a transfer
};

/// "scheme://host:port" of an address, in lower case and with the port spelt out; empty when it is
/// none of http or https.
std::string origin_of(const std::string& url);

/// A text as part of a path: everything but letters, digits, "-._~" and `kept` becomes %XX.
std::string percent_encoded(std::string_view text, std::string_view kept = {});

}  // namespace llava::hub
