// SPDX-License-Identifier: Apache-2.0
#include "llava/text/text_normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "llava/core/error.h"
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

utf8proc_option_t options_of(UnicodeForm form) {
  constexpr int kCommon = UTF8PROC_STABLE;
  int options = kCommon;
  if (form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc) {
    options |= UTF8PROC_COMPOSE;
  } else {
    options |= UTF8PROC_DECOMPOSE;
  }
  if (form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd) options |= UTF8PROC_COMPAT;
  return static_cast<utf8proc_option_t>(options);
}

bool is_ascii(char c) { return static_cast<uint8_t>(c) < 0x80; }

void append_form(std::string& result, std::string_view text, UnicodeForm form) {
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &mapped, options_of(form));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (size < 0) {
    fail(ErrorCode::kInvalidArgument, "a text of {} bytes cannot be normalized: {}", text.size(),
         utf8proc_errmsg(size));
  }
  result.append(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size));
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
