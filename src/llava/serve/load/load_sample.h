// SPDX-License-Identifier: Apache-2.0
//
// What was seen of one request.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace llava::serve {

/// Times are seconds from the start of the run.
struct LoadSample {
  double intended = 0;  ///< when it should have been sent
  double first_token = -1;
  double end = 0;
  std::vector<float> gaps;  ///< seconds between pieces of text
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
  int status = 0;
  std::string error;  ///< empty: the answer is whole
  bool is_broken_off = false;

  bool is_ok() const { return error.empty() && !is_broken_off; }
};

}  // namespace llava::serve
