// SPDX-License-Identifier: Apache-2.0
//
// BytesRelay: a worker's answer as it is. Whole answers are passed on whole, streams line by line
// as they come: half a line helps nobody, and makes it impossible to say in the stream that it
// broke.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "llava/serve/gateway/answer_relay.h"
#include "llava/serve/http/streamed_answer.h"

namespace llava::serve {

class BytesRelay final : public AnswerRelay {
 public:
  explicit BytesRelay(std::shared_ptr<HttpExchange> exchange) : exchange_(std::move(exchange)) {}

  void take_head(int status, const std::vector<HttpHeader>& headers) override;
  void take(std::string_view bytes) override;
  std::optional<HttpResponse> finish() override;
  bool has_started() const override { return answer_ && answer_->has_started(); }
  bool is_done() const override { return false; }
  void fail(const ApiError& error) override;

 private:
  void put(std::string piece);

  std::shared_ptr<HttpExchange> exchange_;
  HttpResponse head_;
  std::string held_;                      ///< a whole answer so far, or the beginning of a line
  std::optional<StreamedAnswer> answer_;  ///< of a stream
  bool has_last_event_ = false;
};

}  // namespace llava::serve
