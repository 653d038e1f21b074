// SPDX-License-Identifier: Apache-2.0
#include "llava/core/grid_pairs.h"

#include <algorithm>
#include <optional>
#include <string>

#include "llava/core/json.h"

namespace llava {
namespace {

constexpr int64_t kMaxNumber = 65536;
constexpr size_t kMaxPairs = 4096;

using Pair = std::pair<int32_t, int32_t>;
using Pairs = std::vector<Pair>;

/// Reads a text from left to right.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool take(std::string_view any_of) {
    if (is_at_end() || any_of.find(text_[at_]) == std::string_view::npos) return false;
    ++at_;
    return true;
  }

  /// A number; one that is too large as kMaxNumber + 1.
  std::optional<int32_t> take_number() {
    const size_t begin = at_;
    int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = std::min(value * 10 + (text_[at_] - '0'), kMaxNumber + 1);
    }
    if (at_ == begin) return std::nullopt;
    return static_cast<int32_t>(value);
  }

  Scanner& skip_blanks() {
    at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
    return *this;
  }

  bool skip_past(char mark) {
    at_ = std::min(text_.find(mark, at_), text_.size());
    return take({&mark, 1});
  }

  bool is_at_end() const { return at_ == text_.size(); }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

// "336, 672)" with blanks anywhere.
std::optional<Pair> take_rest_of_pair(Scanner& scanner) {
  const auto first = scanner.skip_blanks().take_number();
  if (!first || !scanner.skip_blanks().take(",")) return std::nullopt;
  const auto second = scanner.skip_blanks().take_number();
  if (!second || !scanner.skip_blanks().take("])")) return std::nullopt;
  return Pair{*first, *second};
}

std::optional<Pairs> parse_literal(std::string_view text) {
  Pairs pairs;
  Scanner scanner(text);
  if (!scanner.skip_blanks().take("[(")) return std::nullopt;
  while (!scanner.skip_blanks().take("])")) {
    if (!pairs.empty() && !scanner.take(",")) return std::nullopt;
    if (!pairs.empty() && scanner.skip_blanks().take("])")) break;
    if (!scanner.skip_blanks().take("[(")) return std::nullopt;
    const auto pair = take_rest_of_pair(scanner);
    if (!pair) return std::nullopt;
    pairs.push_back(*pair);
  }
  if (!scanner.skip_blanks().is_at_end()) return std::nullopt;
  return pairs;
}

// The original searches for \((\d+)x(\d+)\) and skips what lies between.
Pairs find_grids(std::string_view text) {
  Pairs grids;
  Scanner scanner(text);
  while (scanner.skip_past('(')) {
    const auto first = scanner.take_number();
    if (!first || !scanner.take("x")) continue;
    const auto second = scanner.take_number();
    if (second && scanner.take(")")) grids.emplace_back(*first, *second);
  }
  return grids;
}

std::optional<Pairs> parse_grids(std::string_view text) {
  Pairs grids = find_grids(text);
  if (grids.empty()) return std::nullopt;
  const bool is_range = text.find("...") != std::string_view::npos || grids.size() == 2;
  if (!is_range) return grids;
  const Pair first = grids.front();
  const Pair last = grids.back();
  grids.clear();
  for (int32_t i = first.first; i <= last.first; ++i) {
    for (int32_t j = first.second; j <= last.second; ++j) {
      grids.emplace_back(i, j);
      if (grids.size() > kMaxPairs) return std::nullopt;
    }
  }
  if (grids.empty()) return std::nullopt;
  return grids;
}

std::optional<Pairs> parse_list(const Json& list) {
  Pairs pairs;
  if (list.size() > kMaxPairs) return std::nullopt;
  for (const Json& entry : list) {
    if (!entry.is_array() || entry.size() != 2) return std::nullopt;
    for (const Json& number : entry) {
      // A number above the range of int64_t comes out negative.
      if (!number.is_number_integer() || number.get<int64_t>() < 1 ||
          number.get<int64_t>() > kMaxNumber) {
        return std::nullopt;
      }
    }
    pairs.emplace_back(entry[0].get<int32_t>(), entry[1].get<int32_t>());
  }
  return pairs;
}

}  // namespace

GridPairs read_grid_pairs(const JsonObject& object, std::string_view key) {
  const Json* value = object.find(key);
  if (value == nullptr) return {};
  GridPairs result;
  std::optional<Pairs> pairs;
  if (value->is_array()) pairs = parse_list(*value);
  if (value->is_string()) {
    const auto& text = value->get_ref<const std::string&>();
    result.in_tiles = text.find('x') != std::string::npos;
    pairs = result.in_tiles ? parse_grids(text) : parse_literal(text);
  }
  const auto is_wrong = [](const Pair& pair) {
    const auto [low, high] = std::minmax(pair.first, pair.second);
    return low < 1 || high > kMaxNumber;
  };
  if (!pairs || pairs->size() > kMaxPairs || std::any_of(pairs->begin(), pairs->end(), is_wrong)) {
    object.wrong_type(key,
                      "at most 4096 pairs of numbers from 1 to 65536 such as [[336, 672], "
                      "[672, 336]], or a string such as \"(1x1),...,(6x6)\"");
  }
  result.pairs = std::move(*pairs);
  return result;
}

}  // namespace llava
