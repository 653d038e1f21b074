// SPDX-License-Identifier: Apache-2.0
#include "llava/data/word_count.h"

#include <cstddef>

#include "llava/text/python_text.h"

namespace llava::data {

int64_t count_words(std::string_view text) {
  int64_t count = 0;
  bool is_in_word = false;
  for (std::size_t at = 0; at < text.size();) {
    const bool is_space = text::is_python_space(text::next_code_point(text, at));
    if (!is_space && !is_in_word) ++count;
    is_in_word = !is_space;
  }
  return count;
}

}  // namespace llava::data
