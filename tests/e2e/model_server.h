// SPDX-License-Identifier: Apache-2.0
//
// `llava serve` with a golden model, and what its tests send it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "llava/core/json.h"
#include "server_process.h"

namespace llava::testing {

using Strings = std::vector<std::string>;

inline constexpr const char* kModel = "llava-v1.5-pad";
inline constexpr const char* kQuestion = "What is shown?";

/// Flags of a server of `kModel`.
Strings golden_flags();

/// Threads: one thread at a time.
class Server : public ServerProcess {
 public:
  explicit Server(const Strings& flags);

  /// The answer of /v1/chat/completions, which must have this status.
  Json chat(const std::string& body, int status = 200) const;
  /// The report of `llava bench serve` on it, with small pictures and answers of full length.
  Json bear_load(const Strings& flags) const;
  /// The sum of the samples of /metrics whose name is `name` and whose labels contain `labels`,
  /// such as `kind="text"`; 0 where there are none.
  double metric(std::string_view name, std::string_view labels = {}) const;
  /// Waits until nothing is prepared, waits or runs.
  void wait_until_idle() const;
};

/// The body of a greedy question about a picture; `members` are added to it.
std::string question(const std::string& picture, const std::string& members = {});
std::string question_about_url(const std::string& url, const std::string& members = {});

/// The events of a stream, without the last one; it must be [DONE], once.
std::vector<Json> events_of(const std::string& body);

}  // namespace llava::testing
