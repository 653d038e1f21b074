// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/syntax.h"

#include <algorithm>
#include <utility>

namespace llava::text::grammar {
namespace {

constexpr char32_t kLastCodePoint = 0x10FFFF;
constexpr CharRange kSurrogates{0xD800, 0xDFFF};

}  // namespace

std::vector<CharRange> normalized(std::vector<CharRange> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const CharRange& a, const CharRange& b) { return a.first < b.first; });
  std::vector<CharRange> joined;
  for (CharRange range : ranges) {
    range.last = std::min(range.last, kLastCodePoint);
    if (range.first > range.last) continue;
    if (!joined.empty() && range.first <= joined.back().last + 1) {
      joined.back().last = std::max(joined.back().last, range.last);
    } else {
      joined.push_back(range);
    }
  }
  std::vector<CharRange> result;
  for (const CharRange& range : joined) {
    if (range.last < kSurrogates.first || range.first > kSurrogates.last) {
      result.push_back(range);
      continue;
    }
    if (range.first < kSurrogates.first) result.push_back({range.first, kSurrogates.first - 1});
    if (range.last > kSurrogates.last) result.push_back({kSurrogates.last + 1, range.last});
  }
  return result;
}

std::vector<CharRange> complement(std::vector<CharRange> ranges) {
  std::vector<CharRange> result;
  char32_t next = 0;
  for (const CharRange& range : normalized(std::move(ranges))) {
    if (range.first > next) result.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCodePoint) result.push_back({next, kLastCodePoint});
  return normalized(std::move(result));
}

Expression bytes(std::string_view text) {
  return {.kind = Expression::Kind::kBytes, .bytes = std::string(text)};
}

Expression one_of(std::vector<CharRange> ranges) {
  return {.kind = Expression::Kind::kChar, .ranges = normalized(std::move(ranges))};
}

Expression sequence(std::vector<Expression> parts) {
  return {.kind = Expression::Kind::kSequence, .parts = std::move(parts)};
}

Expression choice(std::vector<Expression> parts) {
  return {.kind = Expression::Kind::kChoice, .parts = std::move(parts)};
}

Expression repeat(Expression part, int32_t min, std::optional<int32_t> max) {
  Expression result{.kind = Expression::Kind::kRepeat, .min = min, .max = max};
  result.parts.push_back(std::move(part));
  return result;
}

Expression optional(Expression part) { return repeat(std::move(part), 0, 1); }

Expression call(int32_t rule) { return {.kind = Expression::Kind::kRule, .rule = rule}; }

int32_t Syntax::add(std::string name, Expression expression) {
  rules.push_back({std::move(name), std::move(expression)});
  return static_cast<int32_t>(rules.size()) - 1;
}

}  // namespace llava::text::grammar
