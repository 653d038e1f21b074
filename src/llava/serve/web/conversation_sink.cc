// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/web/conversation_sink.h"

#include <cstdio>
#include <span>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/guarded.h"
#include "llava/core/hash.h"
#include "llava/serve/client/outgoing_http.h"
#include "llava/serve/legacy/wire_json.h"
#include "llava/serve/web/conversation_log.h"

namespace llava::serve {
namespace {

/// For who collects the output of programs.
class StandardOutput final : public ConversationSink {
 public:
  void append(const OrderedJson& entry, Time) override {
    const std::string line = record_json(entry) + "\n";
    turn_.with([&](int&) {
      if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() ||
          std::fflush(stdout) != 0) {
        fail(ErrorCode::kResourceExhausted, "cannot write the conversation log to standard output");
      }
    });
  }
  std::string save_picture(const image::RgbImage& picture, Time) override {
    return picture_name(picture);
  }

 private:
  Guarded<int> turn_;  ///< one line is written at a time
};

/// For services that take a JSON document by POST.
class Service final : public ConversationSink {
 public:
  explicit Service(std::string url) : url_(std::move(url)) {}

  void append(const OrderedJson& entry, Time) override {
    constexpr std::chrono::seconds kPatience{10};
    OutgoingRequest request{.url = url_, .body = record_json(entry)};
    request.total_time = kPatience;
    const OutgoingReply reply = http_.fetch(std::move(request));
    if (reply.end.error.empty() && reply.end.status >= 200 && reply.end.status < 300) return;
    fail(ErrorCode::kUnavailable, "'{}' did not take a line of the conversation log: {}", url_,
         reply.end.error.empty() ? fmt::format("status {}", reply.end.status) : reply.end.error);
  }
  std::string save_picture(const image::RgbImage& picture, Time) override {
    return picture_name(picture);
  }

 private:
  std::string url_;
  OutgoingHttp http_;
};

}  // namespace

std::unique_ptr<ConversationSink> open_conversation_sink(const WebOptions& options,
                                                         ConversationSink::Time now) {
  const bool is_http = options.log_sink == "http";
  if (is_http != !options.log_sink_url.empty()) {
    fail(ErrorCode::kInvalidArgument, "--log-sink http and --log-sink-url need each other");
  }
  if (options.no_conv_log) return nullptr;
  if (is_http) return std::make_unique<Service>(options.log_sink_url);
  if (options.log_sink == "stdout") return std::make_unique<StandardOutput>();
  if (options.log_dir.empty()) return nullptr;
  return std::make_unique<ConversationLog>(options.log_dir, options.retention_days, now);
}

std::string picture_name(const image::RgbImage& picture) {
  Sha256Stream digest;
  const std::string head = fmt::format("{}x{} RGB\n", picture.size.width, picture.size.height);
  digest.update(std::as_bytes(std::span(head)));
  digest.update(std::as_bytes(std::span(picture.pixels)));
  return to_hex(digest.finish());
}

}  // namespace llava::serve
