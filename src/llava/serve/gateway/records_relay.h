// SPDX-License-Identifier: Apache-2.0
//
// RecordsRelay: the records of an original's worker as an answer of OpenAI's API.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "llava/engine/stop.h"
#include "llava/serve/gateway/answer_relay.h"
#include "llava/serve/gateway/original_request.h"
#include "llava/serve/http/streamed_answer.h"
#include "llava/serve/legacy/record_splitter.h"

namespace llava::serve {

/// Records hold prompt and answer so far, and say neither why an answer ended nor what it cost:
/// unless a worker says more, `finish_reason` is "stop" and `usage` is 0.
class RecordsRelay final : public AnswerRelay {
 public:
  /// `id` is the request's. `request` is kept without its body.
  RecordsRelay(const OriginalRequest& request, std::string model, const std::string& id,
               std::shared_ptr<HttpExchange> exchange);

  void take_head(int status, const std::vector<HttpHeader>& headers) override;
  void take(std::string_view bytes) override;
  std::optional<HttpResponse> finish() override;
  bool has_started() const override { return answer_.has_started(); }
  bool is_done() const override { return is_done_; }
  void fail(const ApiError& error) override;

 private:
  void take_record(std::string_view record);
  void add(std::string_view answer);
  void show(const std::string& text);
  void end();
  void refuse(const ApiError& error);
  OrderedJson frame(std::string_view object) const;
  OrderedJson choice_json(const OrderedJson& content, bool is_last) const;
  std::string event(const OrderedJson& content, bool is_last) const;

  std::string prompt_;
  OriginalRequest::Form form_;
  bool is_streamed_;
  bool includes_usage_;
  std::string model_;
  std::string id_;
  int64_t created_;
  std::shared_ptr<HttpExchange> exchange_;
  StreamedAnswer answer_;
  engine::StopChecker stop_;
  RecordSplitter splitter_;
  int status_ = 0;
  std::size_t num_taken_bytes_ = 0;  ///< of the answer
  std::string text_;                 ///< of an answer that is not streamed
  std::string finish_reason_ = "stop";
  OrderedJson usage_;
  bool has_records_ = false;
  bool is_done_ = false;  ///< the client's answer is complete
};

}  // namespace llava::serve
