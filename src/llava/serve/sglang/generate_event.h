// SPDX-License-Identifier: Apache-2.0
//
// One part of the answer of an SGLang server's /generate, as its clients read it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace llava::serve {

struct GenerateEvent {
  bool is_last = false;   ///< "[DONE]": nothing else is set
  std::string text = {};  ///< all of the answer so far
  /// What failed, with nothing else set.
  std::optional<std::string> error = {};
  std::string finish_reason = {};  ///< "stop", "length"; empty while the answer goes on
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;  ///< 0: the server does not say
};

/// Reads the data of an event, or a record of the servers that had none yet.
///
/// Throws: Error(kBadFormat) naming what was expected.
GenerateEvent read_generate_event(std::string_view data);

}  // namespace llava::serve
