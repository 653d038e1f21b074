// SPDX-License-Identifier: Apache-2.0
#include <cctype>
#include <utility>

#include "llava/checkpoint/config_values.h"

namespace llava::checkpoint {
namespace {

constexpr int32_t kMaxSide = 1 << 16;
constexpr std::size_t kMaxPinpoints = 4096;

// Reads one unsigned number at `at`; negative when there is none.
int32_t take_number(std::string_view text, std::size_t& at) {
  if (at >= text.size() || std::isdigit(static_cast<unsigned char>(text[at])) == 0) return -1;
  int32_t value = 0;
  while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0) {
    value = value * 10 + (text[at] - '0');
    if (value > kMaxSide) return -1;
    ++at;
  }
  return value;
}

void skip_spaces(std::string_view text, std::size_t& at) {
  while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at])) != 0) ++at;
}

bool take(std::string_view text, std::size_t& at, std::string_view one_of) {
  skip_spaces(text, at);
  if (at >= text.size() || one_of.find(text[at]) == std::string_view::npos) return false;
  ++at;
  return true;
}

// A Python literal: "[(336, 672), [672, 336]]". False when it is anything else.
bool parse_literal(std::string_view text, std::vector<image::ImageSize>& sizes) {
  std::size_t at = 0;
  if (!take(text, at, "[(")) return false;
  while (!take(text, at, "])")) {
    image::ImageSize size;
    if (!take(text, at, "[(")) return false;
    skip_spaces(text, at);
    size.width = take_number(text, at);
    if (size.width < 0 || !take(text, at, ",")) return false;
    skip_spaces(text, at);
    size.height = take_number(text, at);
    if (size.height < 0 || !take(text, at, "])")) return false;
    sizes.push_back(size);
    if (sizes.size() > kMaxPinpoints) return false;
    if (!take(text, at, ",")) {
      if (!take(text, at, "])")) return false;
      break;
    }
  }
  skip_spaces(text, at);
  return at == text.size();
}

// Every "(AxB)" of the text.
std::vector<image::ImageSize> find_tile_pairs(std::string_view text) {
  std::vector<image::ImageSize> pairs;
  for (std::size_t start = 0; start < text.size() && pairs.size() <= kMaxPinpoints; ++start) {
    if (text[start] != '(') continue;
    std::size_t at = start + 1;
    const int32_t first = take_number(text, at);
    if (first < 0 || at >= text.size() || text[at] != 'x') continue;
    ++at;
    const int32_t second = take_number(text, at);
    if (second < 0 || at >= text.size() || text[at] != ')') continue;
    pairs.push_back({first, second});
  }
  return pairs;
}

// The published rule: a range from the first pair to the last. Without an ellipsis, more than two
// pairs are single grids (family 1.3).
std::vector<image::ImageSize> expand_tile_pairs(std::string_view text) {
  std::vector<image::ImageSize> pairs = find_tile_pairs(text);
  const bool is_range = text.find("...") != std::string_view::npos || pairs.size() == 2;
  if (pairs.empty() || !is_range) return pairs;
  const image::ImageSize first = pairs.front();
  const image::ImageSize last = pairs.back();
  std::vector<image::ImageSize> grids;
  for (int32_t i = first.width; i <= last.width; ++i) {
    for (int32_t j = first.height; j <= last.height; ++j) {
      grids.push_back({i, j});
      if (grids.size() > kMaxPinpoints) return {};
    }
  }
  return grids;
}

}  // namespace

Pinpoints read_pinpoints(const JsonObject& object, std::string_view key, bool is_height_first) {
  constexpr std::string_view kExpected =
      "a list of 1 to 4096 pairs of sizes from 1 to 65536, as JSON, as a Python list in a string, "
      "or as tile counts \"(1x1),...,(6x6)\"";
  Pinpoints result;
  const Json* value = object.find(key);
  if (value == nullptr) return result;
  if (value->is_string()) {
    const std::string& text = value->get_ref<const std::string&>();
    if (text.find('x') != std::string::npos) {
      result.in_tiles = true;
      result.sizes = expand_tile_pairs(text);
    } else if (!parse_literal(text, result.sizes)) {
      result.sizes.clear();
    }
  } else {
    if (!value->is_array()) object.wrong_type(key, kExpected);
    for (const Json& pair : *value) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_integer() ||
          !pair[1].is_number_integer() || pair[0].get<int64_t>() > kMaxSide ||
          pair[1].get<int64_t>() > kMaxSide || pair[0].get<int64_t>() < 1 ||
          pair[1].get<int64_t>() < 1) {
        object.wrong_type(key, kExpected);
      }
      result.sizes.push_back({pair[0].get<int32_t>(), pair[1].get<int32_t>()});
    }
  }
  if (result.sizes.empty() || result.sizes.size() > kMaxPinpoints)
    object.wrong_type(key, kExpected);
  for (image::ImageSize& size : result.sizes) {
    if (size.width < 1 || size.height < 1) object.wrong_type(key, kExpected);
    if (is_height_first) std::swap(size.width, size.height);
  }
  return result;
}

}  // namespace llava::checkpoint
