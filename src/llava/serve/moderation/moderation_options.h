// SPDX-License-Identifier: Apache-2.0
//
// Whether questions are shown to a moderation service first, and which; the fields are flags of
// `llava gradio-web-server`.
#pragma once

#include <string>

#include "llava/core/config.h"

namespace llava::serve {

struct ModerationOptions {
  bool moderate = false;
  bool moderate_api = false;
  std::string moderation_url = "https://api.openai.com/v1/moderations";
  std::string moderation_key_file;
  float moderation_timeout = 5;
  std::string moderation_fail = "open";

  template <class V>
  void describe(V& v) {
    v.field("moderate", moderate, "ask a moderation service about every text of the page first");
    v.field("moderate-api", moderate_api, "the same for requests that come without the page");
    v.field("moderation-url", moderation_url,
            "the service: OpenAI's, or one that answers as OpenAI's does");
    v.field("moderation-key-file", moderation_key_file,
            "file with the key for it; default: what OPENAI_API_KEY says");
    v.field("moderation-timeout", moderation_timeout, "seconds that it may take",
            in_range(0.01f, 600.0f));
    v.field("moderation-fail", moderation_fail,
            "what becomes of a text about which the service says nothing: it passes (open), or is "
            "refused (closed)",
            one_of({"open", "closed"}));
  }
};

}  // namespace llava::serve
