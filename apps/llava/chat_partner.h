// SPDX-License-Identifier: Apache-2.0
//
// Who answers in a terminal chat: a model in this process (local_partner.h) or a server
// (remote_partner.h). Both keep the conversation.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace llava::app {

/// Threads: one thread at a time.
class ChatPartner {
 public:
  virtual ~ChatPartner() = default;

  /// The speakers' names.
  virtual std::string user_role() const = 0;
  virtual std::string assistant_role() const = 0;

  /// Starts a conversation about these pictures: paths or addresses. When it throws, the one before
  /// goes on.
  ///
  /// Throws: what load_picture throws.
  virtual void begin(const std::vector<std::string>& pictures) = 0;
  /// Starts over with the same pictures.
  virtual void reset() = 0;

  /// Adds a round; `show` gets nothing when the question has been accepted, and then the answer's
  /// text as it comes. Stopped, the answer ends where it is.
  /// When it throws, the conversation is as it was.
  ///
  /// Throws: Error(kInvalidArgument) for a question that cannot be asked; Error(kUnavailable).
  virtual std::string answer(const std::string& question,
                             const std::function<void(std::string_view text)>& show,
                             std::stop_token stop) = 0;

  /// The last round's prompt, as the model got it; empty where it is not known.
  virtual std::string last_prompt() const = 0;
};

}  // namespace llava::app
