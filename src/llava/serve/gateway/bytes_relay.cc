// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/bytes_relay.h"

#include <fmt/format.h>

#include <utility>

#include "llava/core/error.h"
#include "llava/serve/gateway/forwarded_headers.h"
#include "llava/serve/openai/chat_writer.h"

namespace llava::serve {
namespace {

/// A whole answer, or one line of a stream.
constexpr std::size_t kMaxHeldBytes = std::size_t{64} << 20;
constexpr int kUnavailable = 503;

}  // namespace

void BytesRelay::take_head(int status, const std::vector<HttpHeader>& headers) {
  head_ = {.status = status, .headers = headers_for_client(headers), .body = {}};
  if (!find_header(headers, "Content-Length")) answer_.emplace(exchange_, head_);
}

void BytesRelay::take(std::string_view bytes) {
  if (held_.size() + bytes.size() > kMaxHeldBytes) {
    llava::fail(ErrorCode::kBadFormat, "an answer, or a line of a stream, has more than {} bytes",
                kMaxHeldBytes);
  }
  held_ += bytes;
  if (!answer_) return;
  const std::size_t end = held_.rfind('\n');
  if (end == std::string::npos) return;
  std::string rest = held_.substr(end + 1);
  held_.resize(end + 1);
  put(std::exchange(held_, std::move(rest)));
}

void BytesRelay::put(std::string piece) {
  has_last_event_ = has_last_event_ || piece.find("data: [DONE]") != std::string::npos;
  answer_->put(std::move(piece));
}

std::optional<HttpResponse> BytesRelay::finish() {
  if (answer_) {
    put(std::exchange(held_, {}));
    answer_->finish();
    return std::nullopt;
  }
  head_.body = std::exchange(held_, {});
  if (head_.status == kUnavailable) return head_;
  exchange_->respond(std::move(head_));
  return std::nullopt;
}

void BytesRelay::fail(const ApiError& error) {
  const auto type = find_header(head_.headers, "Content-Type").value_or("");
  if (type.starts_with("text/event-stream")) {
    // A line feed first: an event may have begun.
    if (!has_last_event_) {
      answer_->put(fmt::format("\n{}{}", event_of(error_body(error)), kLastEvent));
    }
    answer_->finish();
  } else if (type.starts_with("application/x-ndjson")) {
    answer_->put(to_text(OrderedJson{{"error", error.what()}}) + "\n");
    answer_->finish();
  } else {
    exchange_->abort();
  }
}

}  // namespace llava::serve
