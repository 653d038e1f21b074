// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/moderation/moderator.h"

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/log.h"
#include "llava/serve/legacy/wire_json.h"
#include "llava/serve/moderation/moderated_text.h"

namespace llava::serve {
namespace {

constexpr uint64_t kMaxKeyBytes = 4096;

std::string trimmed(std::string text) {
  constexpr std::string_view kSpace = " \t\r\n";
  text.erase(text.find_last_not_of(kSpace) + 1);
  text.erase(0, text.find_first_not_of(kSpace));
  return text;
}

std::string key_of(const ModerationOptions& options) {
  std::string key;
  if (!options.moderation_key_file.empty()) {
    key = trimmed(read_file(options.moderation_key_file, kMaxKeyBytes));
  } else if (const char* value = std::getenv("OPENAI_API_KEY"); value != nullptr) {
    key = trimmed(value);
  }
  // A line's end in it would be a further header.
  if (key.find_first_of("\r\n") != std::string::npos) {
    fail(ErrorCode::kBadFormat, "the moderation service's key has several lines, expected one");
  }
  if (key.empty() && options.moderation_url == ModerationOptions().moderation_url) {
    fail(ErrorCode::kInvalidArgument,
         "moderation by OpenAI's service needs a key: set OPENAI_API_KEY, or name a file with "
         "--moderation-key-file; another service is named with --moderation-url");
  }
  return key;
}

void check_address(const std::string& url) {
  if (url.starts_with("http://") || url.starts_with("https://")) return;
  fail(ErrorCode::kInvalidArgument,
       "--moderation-url is '{}', expected an address that begins with https:// or http://", url);
}

}  // namespace

Moderator::Moderator(const ModerationOptions& options, OutgoingHttp& http)
    : options_(options), key_(key_of(options)), http_(http) {
  check_address(options.moderation_url);
}

std::shared_ptr<OutgoingCall> Moderator::check(const std::string& text, OnVerdict on_verdict) {
  const std::chrono::milliseconds time(std::lround(options_.moderation_timeout * 1000));
  OutgoingRequest request{.url = options_.moderation_url, .body = compact_json({{"input", text}})};
  request.connect_time = time;
  request.total_time = time;
  request.silence_time = std::chrono::ceil<std::chrono::seconds>(time);
  if (!key_.empty()) request.headers.push_back({"Authorization", "Bearer " + key_});
  return http_.fetch(std::move(request),
                     [this, on_verdict = std::move(on_verdict)](const OutgoingReply& reply) {
                       on_verdict(read(reply));
                     });
}

std::optional<bool> Moderator::read(const OutgoingReply& reply) {
  std::optional<bool> is_flagged;
  if (reply.end.is_ok()) is_flagged = read_moderation_answer(reply.body);
  if (!is_flagged) {
    ++num_failed_;
    log_warning("moderation_fails",
                {{"service", options_.moderation_url},
                 {"status", reply.end.status},
                 {"error", reply.end.is_ok() ? "no results[0].flagged" : reply.end.error}});
  } else {
    ++(*is_flagged ? num_flagged_ : num_passed_);
  }
  return is_flagged;
}

ModerationCounts Moderator::counts() const {
  return {.passed = num_passed_, .flagged = num_flagged_, .failed = num_failed_};
}

}  // namespace llava::serve
