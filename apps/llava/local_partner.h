// SPDX-License-Identifier: Apache-2.0
//
// A terminal chat with a model in this process, as in the original.
#pragma once

#include <optional>

#include "chat_options.h"
#include "chat_partner.h"
#include "llava/engine/dialogue.h"

namespace llava::app {

class LocalPartner final : public ChatPartner {
 public:
  /// Loads the model. `options` outlive the partner, and may change between two rounds.
  ///
  /// Throws: what load_pretrained and load_picture throw.
  explicit LocalPartner(const ChatOptions& options);

  std::string user_role() const override { return dialogue_->user_role(); }
  std::string assistant_role() const override { return dialogue_->assistant_role(); }
  void begin(const std::vector<std::string>& pictures) override;
  void reset() override;
  std::string answer(const std::string& question,
                     const std::function<void(std::string_view text)>& show,
                     std::stop_token stop) override;
  std::string last_prompt() const override { return last_prompt_; }

 private:
  std::string stored_text(const engine::Answer& answer) const;

  const ChatOptions& options_;
  Session session_;
  std::vector<engine::PreparedImage> images_;
  int shown_pictures_ = 0;
  std::optional<engine::Dialogue> dialogue_;
  std::string last_prompt_;
};

}  // namespace llava::app
