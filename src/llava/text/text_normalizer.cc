// SPDX-License-Identifier: Apache-2.0
#include "llava/text/text_normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "llava/core/check.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

std::string apply(const TextNormalizer::Prepend& step, std::string text) {
  return text.empty() ? text : step.text + text;
}

std::string apply(const TextNormalizer::Replace& step, std::string text) {
  std::string result;
  std::size_t at = 0;
  for (const auto& match : step.pattern.find_all(text)) {
    result.append(text, at, match.begin - at);
    result += step.content;
    at = match.end;
  }
  return result.append(text, at);
}

std::string apply(const TextNormalizer::Form& step, std::string text) {
  return to_unicode_form(text, step.form);
}

/// Appends fn(c) for every character.
template <class Function>
std::string map_chars(std::string_view text, Function&& fn) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    fn(result, c.code_point);
    at += c.num_bytes;
  }
  return result;
}

std::string apply(const TextNormalizer::Lowercase&, std::string text) {
  return map_chars(text, [](std::string& result, char32_t c) {
    append_utf8(result, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    // The one character whose lower case is two: I with a dot above.
    if (c == 0x130) append_utf8(result, 0x307);
  });
}

std::string apply(const TextNormalizer::StripAccents&, std::string text) {
  return map_chars(text, [](std::string& result, char32_t c) {
    if (utf8proc_category(static_cast<utf8proc_int32_t>(c)) != UTF8PROC_CATEGORY_MN) {
      append_utf8(result, c);
    }
  });
}

std::string apply(const TextNormalizer::Strip& step, std::string text) {
  std::size_t begin = text.size();
  std::size_t end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    if (!is_unicode_space(c.code_point)) {
      begin = std::min(begin, at);
      end = at + c.num_bytes;
    }
    at += c.num_bytes;
  }
  if (begin == text.size()) return step.left || step.right ? std::string() : text;
  if (!step.left) begin = 0;
  if (!step.right) end = text.size();
  return text.substr(begin, end - begin);
}

bool composes(UnicodeForm form) { return form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc; }

utf8proc_option_t options_of(UnicodeForm form) {
  int options = UTF8PROC_STABLE;
  options |= composes(form) ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd) options |= UTF8PROC_COMPAT;
  return static_cast<utf8proc_option_t>(options);
}

bool is_ascii(char c) { return static_cast<uint8_t>(c) < 0x80; }

utf8proc_propval_t combining_class(utf8proc_int32_t c) {
  return utf8proc_get_property(c)->combining_class;
}

/// Sorts each run of combining characters by class. utf8proc's own sorting is quadratic, and a text
/// may be nothing but combining characters.
void sort_combining(std::vector<utf8proc_int32_t>& chars) {
  for (auto begin = chars.begin(); begin != chars.end();) {
    if (combining_class(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end =
        std::find_if(begin, chars.end(), [](auto c) { return combining_class(c) == 0; });
    std::stable_sort(begin, end,
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

void append_form(std::string& result, std::string_view text, UnicodeForm form) {
  const utf8proc_option_t options = options_of(form);
  std::vector<utf8proc_int32_t> chars;
  chars.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    std::array<utf8proc_int32_t, 32> parts;  // the longest decomposition has 18
    int boundary = 0;
    const utf8proc_ssize_t size =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.code_point), parts.data(),
                                static_cast<utf8proc_ssize_t>(parts.size()), options, &boundary);
    LLAVA_CHECK(size >= 0 && std::cmp_less_equal(size, parts.size()));
    chars.insert(chars.end(), parts.begin(), parts.begin() + size);
    at += c.num_bytes;
  }
  sort_combining(chars);
  if (composes(form)) {
    const utf8proc_ssize_t size = utf8proc_normalize_utf32(
        chars.data(), static_cast<utf8proc_ssize_t>(chars.size()), options);
    LLAVA_CHECK(size >= 0 && std::cmp_less_equal(size, chars.size()));
    chars.resize(static_cast<std::size_t>(size));
  }
  for (const utf8proc_int32_t c : chars) append_utf8(result, static_cast<char32_t>(c));
}

}  // namespace

std::string to_unicode_form(std::string_view text, UnicodeForm form) {
  // ASCII characters are stable in every form and compose with nothing before them, so a text can
  // be cut in front of each; most texts then need no work at all.
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_ascii(text[end])) ++end;
    if (end == text.size()) {
      result += text.substr(at);
      break;
    }
    const std::size_t begin = end > at ? end - 1 : at;
    result += text.substr(at, begin - at);
    while (end < text.size() && !is_ascii(text[end])) ++end;
    append_form(result, text.substr(begin, end - begin), form);
    at = end;
  }
  return result;
}

void TextNormalizer::add(Step step) { steps_.push_back(std::move(step)); }

std::string TextNormalizer::normalize(std::string_view text) const {
  std::string result(text);
  for (const Step& step : steps_) {
    result = std::visit([&](const auto& s) { return apply(s, std::move(result)); }, step);
  }
  return result;
}

}  // namespace llava::text
