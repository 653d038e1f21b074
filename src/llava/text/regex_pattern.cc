// SPDX-License-Identifier: Apache-2.0
#include "llava/text/regex_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>

#include "llava/core/error.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

/// White_Space; PCRE2's own \s has U+180E as well.
constexpr std::string_view kSpaceSet =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"
    "\\x{205f}\\x{3000}";
/// Oniguruma's word characters; PCRE2's own \w changed between its versions.
constexpr std::string_view kWordSet =
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}\\x{24b6}-\\x{24e9}"
    "\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";
constexpr bool kHasScriptExtensions = PCRE2_MAJOR > 10 || PCRE2_MINOR >= 40;
constexpr std::string_view kHexSet = "0-9a-fA-F";

[[noreturn]] void unsupported(std::string_view pattern, std::string_view source,
                              std::string_view reason) {
  fail(ErrorCode::kUnsupported, "{}: the pattern '{}' cannot be used: {}", source, pattern, reason);
}

/// Members of a one-letter class that must be spelled out, or empty.
std::string_view set_of(char escape) {
  switch (escape) {
    case 's':
    case 'S':
      return kSpaceSet;
    case 'w':
    case 'W':
      return kWordSet;
    case 'h':
    case 'H':
      return kHexSet;
    default:
      return {};
  }
}

/// The property of an escape such as "\\p{Han}" that begins at `at`, when it names a script. A
/// script means the characters of that script alone in Oniguruma; PCRE2 adds shared ones
/// since 10.40.
std::string_view script_property(std::string_view pattern, std::size_t at) {
  for (const std::string_view script : {"Han", "Hiragana", "Katakana", "Hangul"}) {
    if (pattern.substr(at + 2, script.size() + 2) == fmt::format("{{{}}}", script)) return script;
  }
  return {};
}

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

/// Flags of a group such as "(?im-x:" that begins at `at`, or nothing for other groups.
std::string_view group_flags(std::string_view pattern, std::size_t at) {
  if (pattern.substr(at, 2) != "(?") return {};
  const std::string_view rest = pattern.substr(at + 2);
  const std::size_t end = rest.find_first_not_of("imxa-");
  if (end == 0 || end == std::string_view::npos || (rest[end] != ':' && rest[end] != ')')) {
    return {};
  }
  return rest.substr(0, end);
}

}  // namespace

std::string pattern_for_pcre2(std::string_view pattern, std::string_view source) {
  std::string result;
  bool in_class = false;
  std::size_t class_begin = 0;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    const char c = pattern[at];
    if (c == '\\' && at + 1 < pattern.size()) {
      const std::string_view script = script_property(pattern, at);
      const char escape = pattern[++at];
      const std::string_view set = set_of(escape);
      if (kHasScriptExtensions && !script.empty() && (escape == 'p' || escape == 'P')) {
        result += fmt::format("\\{}{{sc:{}}}", escape, script);
        at += script.size() + 2;
      } else if (set.empty()) {
        result += c;
        result += escape;
      } else if (!in_class) {
        result += is_upper(escape) ? "[^" : "[";
        result += set;
        result += ']';
      } else if (!is_upper(escape)) {
        result += set;
      } else {
        unsupported(pattern, source, "it has a negated class inside a class");
      }
      continue;
    }
    if (!in_class) {
      if (c == '[') {
        in_class = true;
        class_begin = at + (pattern.substr(at + 1, 1) == "^" ? 2 : 1);
      }
      if (group_flags(pattern, at).find('m') != std::string_view::npos) {
        unsupported(pattern, source, "the flag m means something else in PCRE2");
      }
    } else if (c == '[') {
      unsupported(pattern, source, "it has a class inside a class");
    } else if (pattern.substr(at, 2) == "&&") {
      unsupported(pattern, source, "it intersects classes");
    } else if (c == ']' && at >= class_begin + 1) {
      in_class = false;
    }
    result += c;
  }
  return result;
}

struct RegexPattern::Code {
  pcre2_code* code = nullptr;
  std::string pattern;

  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() { pcre2_code_free(code); }
};

RegexPattern::RegexPattern(std::string_view pattern, std::string_view source) {
  if (!is_valid_utf8(pattern)) unsupported("(binary)", source, "it is not valid UTF-8");
  const std::string translated = pattern_for_pcre2(pattern, source);
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  if (!context) fail(ErrorCode::kResourceExhausted, "{}: no memory for a pattern", source);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), 100);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_shared<Code>();
  code->pattern = pattern;
  code->code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C,
      &error, &offset, context.get());
  if (code->code == nullptr) {
    std::array<PCRE2_UCHAR, 200> message{};
    pcre2_get_error_message(error, message.data(), message.size());
    unsupported(
        pattern, source,
        fmt::format("{} (at byte {})", reinterpret_cast<const char*>(message.data()), offset));
  }
  pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);  // where it fails, the interpreter runs
  code_ = std::move(code);
}

RegexPattern RegexPattern::literal(std::string_view text) {
  RegexPattern pattern;
  pattern.literal_ = text;
  return pattern;
}

std::vector<RegexPattern::Match> RegexPattern::find_all(std::string_view text) const {
  std::vector<Match> matches;
  if (!code_) {
    if (literal_.empty()) return matches;
    for (std::size_t at = 0; (at = text.find(literal_, at)) != std::string_view::npos;
         at += literal_.size()) {
      matches.push_back({at, at + literal_.size()});
    }
    return matches;
  }
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), &pcre2_match_context_free);
  if (!data || !context) fail(ErrorCode::kResourceExhausted, "no memory to match a pattern");
  // A linear pattern may need a few steps for each byte; only backtracking needs more.
  const std::size_t steps = std::min<std::size_t>(2'000'000'000, 1'000'000 + 16 * text.size());
  pcre2_set_match_limit(context.get(), static_cast<uint32_t>(steps));
  std::size_t at = 0;
  while (at <= text.size()) {
    const auto match = [&](uint32_t options) {
      return pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                         PCRE2_NO_UTF_CHECK | options, data.get(), context.get());
    };
    int result = match(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      fail(ErrorCode::kBadFormat,
           "the tokenizer's pattern '{}' needs too many steps on a text of {} bytes (PCRE2 error "
           "{})",
           code_->pattern, text.size(), result);
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    const Match found{range[0], range[1]};
    if (found.end < found.begin) break;  // \K moved the begin past the end
    if (found.begin == found.end && !matches.empty() && matches.back().end == found.end) {
      // No empty match directly behind another.
      at += at < text.size() ? decode_utf8(text, at).num_bytes : 1;
      continue;
    }
    matches.push_back(found);
    at = found.end;
  }
  return matches;
}

}  // namespace llava::text
