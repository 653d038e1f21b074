// SPDX-License-Identifier: Apache-2.0
#include "llava/text/text_streamer.h"

#include <array>

#include "llava/text/python_text.h"

namespace llava::text {
namespace {

bool is_ideograph(char32_t c) {
  struct Range {
    char32_t first;
    char32_t last;
  };
  static constexpr std::array<Range, 8> kRanges = {{{0x4E00, 0x9FFF},
                                                    {0x3400, 0x4DBF},
                                                    {0x20000, 0x2A6DF},
                                                    {0x2A700, 0x2B73F},
                                                    {0x2B740, 0x2B81F},
                                                    {0x2B820, 0x2CEAF},
                                                    {0xF900, 0xFAFF},
                                                    {0x2F800, 0x2FA1F}}};
  for (const Range& range : kRanges) {
    if (c >= range.first && c <= range.last) return true;
  }
  return false;
}

char32_t last_code_point(std::string_view text) {
  size_t start = text.size() - 1;
  while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
  return next_code_point(text, start);
}

}  // namespace

std::string TextStreamer::push(int32_t id) {
  ids_.push_back(id);
  const std::string text = tokenizer_->decode(ids_, skip_special_);
  if (text.empty()) return "";
  if (text.back() == '\n') {
    std::string chunk = take_until(text, text.size());
    ids_.clear();
    num_shown_ = 0;
    return chunk;
  }
  if (is_ideograph(last_code_point(text))) return take_until(text, text.size());
  const size_t space = text.rfind(' ');
  return space == std::string::npos ? "" : take_until(text, space + 1);
}

std::string TextStreamer::finish() {
  if (ids_.empty()) return "";
  const std::string text = tokenizer_->decode(ids_, skip_special_);
  std::string chunk = take_until(text, text.size());
  ids_.clear();
  num_shown_ = 0;
  return chunk;
}

std::string TextStreamer::take_until(const std::string& text, size_t end) {
  const size_t begin = byte_offset_of(text, num_shown_);
  if (begin >= end) return "";
  std::string chunk = text.substr(begin, end - begin);
  num_shown_ += count_code_points(chunk);
  return chunk;
}

}  // namespace llava::text
