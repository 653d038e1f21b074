// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/draft_vocabulary.h"

#include <algorithm>

#include "llava/core/error.h"

namespace llava::engine {

int32_t num_common_ids(const text::Tokenizer& target, const text::Tokenizer& draft,
                       std::string_view draft_name) {
  const int32_t size = std::min(target.size(), draft.size());
  int32_t num_common = 0;
  while (num_common < size && target.token_text(num_common) == draft.token_text(num_common)) {
    ++num_common;
  }
  // Behind the first difference there may be added tokens only, on either side.
  for (const text::Tokenizer* tokenizer : {&target, &draft}) {
    int32_t id = num_common;
    while (id < tokenizer->size() && tokenizer->is_special(id)) ++id;
    if (id == tokenizer->size()) continue;
    const auto text_of = [&](const text::Tokenizer& t) {
      return num_common < t.size() ? fmt::format("'{}'", t.token_text(num_common)) : "no token";
    };
    fail(ErrorCode::kInvalidArgument,
         "draft model '{}' has another vocabulary: token {} is {}, but {} for the model that "
         "answers: choose a smaller model of the same family, with the same tokenizer",
         draft_name, num_common, text_of(draft), text_of(target));
  }
  return num_common;
}

}  // namespace llava::engine
