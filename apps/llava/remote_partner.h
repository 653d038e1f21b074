// SPDX-License-Identifier: Apache-2.0
//
// A terminal chat with an OpenAI-compatible server: this program fetches and sends the pictures,
// the server does all else.
#pragma once

#include "chat_options.h"
#include "chat_partner.h"
#include "llava/core/json.h"
#include "llava/serve/client/outgoing_http.h"

namespace llava::app {

class RemotePartner final : public ChatPartner {
 public:
  /// Asks the server which models it has, unless the options name one. `options` outlive the
  /// partner, and may change between two rounds.
  ///
  /// Throws: Error(kUnavailable) when the server does not answer; what load_picture throws.
  explicit RemotePartner(const ChatOptions& options);

  std::string user_role() const override { return "USER"; }
  std::string assistant_role() const override { return "ASSISTANT"; }
  void begin(const std::vector<std::string>& pictures) override;
  void reset() override { messages_ = OrderedJson::array(); }
  std::string answer(const std::string& question,
                     const std::function<void(std::string_view text)>& show,
                     std::stop_token stop) override;
  std::string last_prompt() const override { return {}; }

 private:
  serve::OutgoingRequest request(const OrderedJson& messages) const;

  const ChatOptions& options_;
  serve::OutgoingHttp http_;
  std::string address_;  ///< without "/v1"
  std::string model_;
  std::vector<std::string> picture_urls_;
  OrderedJson messages_ = OrderedJson::array();
};

}  // namespace llava::app
