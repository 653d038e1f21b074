// SPDX-License-Identifier: Apache-2.0
//
// Moderator: asks a service that speaks OpenAI's moderation API whether a text may be answered.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "llava/serve/client/outgoing_http.h"
#include "llava/serve/moderation/moderation_options.h"

namespace llava::serve {

/// What was found about texts, so far.
struct ModerationCounts {
  int64_t passed = 0;
  int64_t flagged = 0;
  int64_t failed = 0;  ///< the service said nothing
};

/// Threads: safe.
class Moderator {
 public:
  /// Nothing: nobody said anything. Called on the client's thread.
  using OnVerdict = std::function<void(std::optional<bool> is_flagged)>;

  /// Reads the key. `http` outlives the moderator.
  ///
  /// Throws: Error(kInvalidArgument) when OpenAI's own service is to be asked and there is no key;
  /// Error naming a key file that cannot be read.
  Moderator(const ModerationOptions& options, OutgoingHttp& http);

  /// Asks about a text.
  std::shared_ptr<OutgoingCall> check(const std::string& text, OnVerdict on_verdict);

  /// Whether a text passes about which nobody said anything.
  bool fails_open() const { return options_.moderation_fail == "open"; }
  ModerationCounts counts() const;

 private:
  std::optional<bool> read(const OutgoingReply& reply);

  ModerationOptions options_;
  std::string key_;
  OutgoingHttp& http_;
  std::atomic<int64_t> num_passed_{0};
  std::atomic<int64_t> num_flagged_{0};
  std::atomic<int64_t> num_failed_{0};
};

}  // namespace llava::serve
