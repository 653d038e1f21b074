// SPDX-License-Identifier: Apache-2.0
//
// What the page tells of a conversation (POST /web/log), and the line of the original's log that it
// becomes.
#pragma once

#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/serve/protocol/chat_request.h"

namespace llava::serve {

/// One answer or one vote, as the page says.
struct ConversationRecord {
  std::string type;  ///< "chat", "upvote", "downvote", "flag", or an arena's: "leftvote", ...
  /// Requests whose last turn is the answer: one, or two of an arena's vote.
  std::vector<ChatRequest> conversations;
  /// Of a chat: from the request to the end of the answer.
  double seconds = 0;
  std::string request_id;
  std::string finish_reason;

  bool is_chat() const { return type == "chat"; }
};

/// What the server adds to a record.
struct RecordOrigin {
  double time = 0;  ///< seconds since 1970
  std::string address;
  /// The templates of the conversations, in their order; empty, or not there: the model's own.
  std::vector<std::string> conv_modes;
  std::vector<std::string> images;  ///< names of a chat's pictures, in their order
};

/// Reads the body of a request.
///
/// Throws: ApiError 400 naming the field; also for fields that are not known.
ConversationRecord read_conversation_record(const OrderedJson& body, const ChatLimits& limits);

/// The record with the original's fields in their order (serving.md 4.7): `tstamp`, `type`,
/// `model`, `start` and `finish` of a chat, `state`, `images` of a chat, `ip`; then `request_id`,
/// `params` and `finish_reason` of a chat. An arena's vote has `models` and `states`, as
/// FastChat's.
OrderedJson log_entry(const ConversationRecord& record, const RecordOrigin& origin);

}  // namespace llava::serve
