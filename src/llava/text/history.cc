// SPDX-License-Identifier: Apache-2.0
#include "llava/text/history.h"

#include <vector>

#include "llava/core/error.h"
#include "llava/text/chat_template/text_form.h"
#include "llava/text/python_text.h"

namespace llava::text {

std::string stored_answer(const Tokenizer& tokenizer, std::span<const int32_t> new_ids,
                          HistoryMode mode, std::optional<int32_t> begin_id) {
  if (mode == HistoryMode::kPlainText) {
    return std::string(strip_space(tokenizer.decode(new_ids, /*skip_special=*/true)));
  }
  const std::optional<int32_t> begin = begin_id ? begin_id : tokenizer.bos_id();
  if (!begin) {
    fail(ErrorCode::kInvalidArgument,
         "the original's history begins with the tokenizer's begin token, and this tokenizer has "
         "none: leave out --compat-history");
  }
  std::vector<int32_t> ids = {*begin};
  ids.insert(ids.end(), new_ids.begin(), new_ids.end());
  return std::string(strip_space(tokenizer.decode(ids, /*skip_special=*/false)));
}

std::string debug_line(std::string_view prompt, std::string_view answer) {
  return "\n {'prompt': " + jinja::string_repr(prompt) +
         ", 'outputs': " + jinja::string_repr(answer) + "} \n\n";
}

}  // namespace llava::text
