// SPDX-License-Identifier: Apache-2.0
#include "llava/text/python_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "llava/core/error.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

// Characters whose upper case is several characters (SpecialCasing.txt, unconditional).
bool has_long_upper(char32_t c) {
  static constexpr std::array<char32_t, 8> kSingles = {0xDF,  0x149, 0x1F0,  0x390,
                                                       0x3B0, 0x587, 0x1E9E, 0x1FB3};
  return std::find(kSingles.begin(), kSingles.end(), c) != kSingles.end() ||
         (c >= 0x1E96 && c <= 0x1E9A) || (c >= 0x1F50 && c <= 0x1FFC) ||
         (c >= 0xFB00 && c <= 0xFB17);
}

std::string map_case(std::string_view text, bool is_upper) {
  std::string out;
  out.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) {
    const char32_t c = next_code_point(text, offset);
    // Final sigma and the dotted capital I depend on their surroundings or grow.
    if (is_upper ? has_long_upper(c) : (c == 0x3A3 || c == 0x130)) {
      fail(ErrorCode::kUnsupported,
           "changing the case of U+{:04X}, which does not map to one character, is not supported",
           static_cast<uint32_t>(c));
    }
    const auto code = static_cast<utf8proc_int32_t>(c);
    append_utf8(out,
                static_cast<char32_t>(is_upper ? utf8proc_toupper(code) : utf8proc_tolower(code)));
  }
  return out;
}

template <class Predicate>
std::string_view strip_if(std::string_view text, StripSide side, const Predicate& is_stripped) {
  if (side != StripSide::kRight) {
    size_t begin = 0;
    for (size_t offset = 0; offset < text.size();) {
      if (!is_stripped(next_code_point(text, offset))) break;
      begin = offset;
    }
    text.remove_prefix(begin);
  }
  if (side != StripSide::kLeft) {
    while (!text.empty()) {
      size_t start = text.size() - 1;
      while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
      size_t offset = start;
      if (!is_stripped(next_code_point(text, offset))) break;
      text = text.substr(0, start);
    }
  }
  return text;
}

}  // namespace

char32_t next_code_point(std::string_view text, size_t& offset) {
  const Utf8Char c = decode_utf8(text, offset);
  offset += c.num_bytes;
  return c.code_point;
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

size_t byte_offset_of(std::string_view text, size_t index) {
  size_t offset = 0;
  for (; index > 0 && offset < text.size(); --index) next_code_point(text, offset);
  return offset;
}

bool is_python_space(char32_t c) { return is_unicode_space(c) || (c >= 0x1C && c <= 0x1F); }

bool is_python_printable(char32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

std::string_view strip_space(std::string_view text, StripSide side) {
  return strip_if(text, side, is_python_space);
}

std::string_view strip_characters(std::string_view text, std::string_view chars, StripSide side) {
  std::u32string set;
  for (size_t offset = 0; offset < chars.size();) set += next_code_point(chars, offset);
  return strip_if(text, side, [&set](char32_t c) { return set.find(c) != std::u32string::npos; });
}

std::string to_upper(std::string_view text) { return map_case(text, true); }

std::string to_lower(std::string_view text) { return map_case(text, false); }

std::string capitalize_words(std::string_view text, bool (*continues_word)(char32_t)) {
  std::string out;
  bool is_in_word = false;
  for (size_t offset = 0; offset < text.size();) {
    const size_t begin = offset;
    const char32_t c = next_code_point(text, offset);
    const std::string_view character = text.substr(begin, offset - begin);
    out += is_in_word ? to_lower(character) : to_upper(character);
    is_in_word = continues_word(c);
  }
  return out;
}

std::string replace_text(std::string_view text, std::string_view from, std::string_view to,
                         size_t max_count) {
  std::string out;
  size_t begin = 0;
  for (size_t count = 0; count < max_count && !from.empty(); ++count) {
    const size_t hit = text.find(from, begin);
    if (hit == std::string_view::npos) break;
    out += text.substr(begin, hit - begin);
    out += to;
    begin = hit + from.size();
  }
  out += text.substr(begin);
  return out;
}

std::vector<std::string_view> python_lines(std::string_view text, bool keeps_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t offset = 0; offset < text.size();) {
    const size_t at = offset;
    const char32_t c = next_code_point(text, offset);
    const bool is_end = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                        c == 0x2028 || c == 0x2029;
    if (!is_end) continue;
    if (c == '\r' && offset < text.size() && text[offset] == '\n') ++offset;
    lines.push_back(text.substr(begin, (keeps_ends ? offset : at) - begin));
    begin = offset;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

}  // namespace llava::text
