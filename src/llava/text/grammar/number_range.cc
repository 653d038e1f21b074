// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/number_range.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace llava::text::grammar {
namespace {

constexpr double kLargestWhole = 999999999;
constexpr int32_t kMaxFractionDigits = 6;

Expression digit(char first, char last) {
  return one_of({{static_cast<char32_t>(first), static_cast<char32_t>(last)}});
}

Expression any_digits(std::size_t count) {
  const auto times = static_cast<int32_t>(count);
  return repeat(digit('0', '9'), times, times);
}

// Digit strings of one length from `low` to `high`.
Expression same_length(const std::string& low, const std::string& high) {
  std::size_t common = 0;
  while (common < low.size() && low[common] == high[common]) ++common;
  if (common == low.size()) return bytes(low);
  const std::size_t rest = low.size() - common - 1;
  const char first = low[common];
  const char last = high[common];
  const std::string low_rest = low.substr(common + 1);
  const std::string high_rest = high.substr(common + 1);
  std::vector<Expression> ways;
  const bool takes_all_of_first = low_rest == std::string(rest, '0');
  const bool takes_all_of_last = high_rest == std::string(rest, '9');
  if (!takes_all_of_first) {
    ways.push_back(sequence({bytes({&first, 1}), same_length(low_rest, std::string(rest, '9'))}));
  }
  const char middle_first = static_cast<char>(takes_all_of_first ? first : first + 1);
  const char middle_last = static_cast<char>(takes_all_of_last ? last : last - 1);
  if (middle_first <= middle_last) {
    ways.push_back(sequence({digit(middle_first, middle_last), any_digits(rest)}));
  }
  if (!takes_all_of_last) {
    ways.push_back(sequence({bytes({&last, 1}), same_length(std::string(rest, '0'), high_rest)}));
  }
  return sequence({bytes(low.substr(0, common)), choice(std::move(ways))});
}

// From `min` to `max`, not negative.
Expression magnitudes(uint64_t min, uint64_t max) {
  std::vector<Expression> ways;
  while (min <= max) {
    const std::string low = std::to_string(min);
    const std::string nines(low.size(), '9');
    const std::string top = std::to_string(max);
    if (top.size() == low.size()) {
      ways.push_back(same_length(low, top));
      break;
    }
    ways.push_back(same_length(low, nines));
    min = std::stoull(nines) + 1;
  }
  return choice(std::move(ways));
}

Expression fraction() {
  return sequence({bytes("."), repeat(digit('0', '9'), 1, kMaxFractionDigits)});
}

// Numbers that are not negative.
Expression unsigned_range(NumberBound min, NumberBound max) {
  max.value = std::min(max.value, kLargestWhole);
  std::vector<Expression> ways;
  double first = std::ceil(min.value);  // whole parts from here on may have any fraction
  if (first == min.value && !min.is_included) {
    if (first + 1 <= max.value) {
      ways.push_back(sequence(
          {magnitudes(static_cast<uint64_t>(first), static_cast<uint64_t>(first)), bytes("."),
           repeat(digit('0', '9'), 0, kMaxFractionDigits - 1), digit('1', '9')}));
    }
    first += 1;
  }
  const double last = std::floor(max.value);
  if (first <= last - 1) {
    ways.push_back(
        sequence({magnitudes(static_cast<uint64_t>(first), static_cast<uint64_t>(last - 1)),
                  optional(fraction())}));
  }
  const bool has_last = max.is_included || last < max.value;
  if (first <= last && has_last) {
    ways.push_back(
        sequence({magnitudes(static_cast<uint64_t>(last), static_cast<uint64_t>(last)),
                  optional(sequence({bytes("."), repeat(bytes("0"), 1, kMaxFractionDigits)}))}));
  }
  return choice(std::move(ways));
}

}  // namespace

Expression integer_range(int64_t min, int64_t max) {
  std::vector<Expression> ways;
  const auto magnitude = [](int64_t value) { return uint64_t{0} - static_cast<uint64_t>(value); };
  if (min < 0 && min <= max) {
    ways.push_back(
        sequence({bytes("-"), magnitudes(max < 0 ? magnitude(max) : 1, magnitude(min))}));
  }
  if (max >= 0 && min <= max) {
    ways.push_back(
        magnitudes(static_cast<uint64_t>(std::max<int64_t>(0, min)), static_cast<uint64_t>(max)));
  }
  return choice(std::move(ways));
}

Expression number_range(std::optional<NumberBound> min, std::optional<NumberBound> max) {
  const NumberBound low = min.value_or(NumberBound{-kLargestWhole});
  const NumberBound high = max.value_or(NumberBound{kLargestWhole});
  std::vector<Expression> ways;
  if (low.value < 0) {
    // Zero itself is left to the other half.
    const NumberBound least =
        high.value < 0 ? NumberBound{-high.value, high.is_included} : NumberBound{0, false};
    ways.push_back(sequence({bytes("-"), unsigned_range(least, {-low.value, low.is_included})}));
  }
  if (high.value >= 0) {
    const NumberBound least = low.value >= 0 ? low : NumberBound{0, true};
    ways.push_back(unsigned_range(least, high));
  }
  return choice(std::move(ways));
}

}  // namespace llava::text::grammar
