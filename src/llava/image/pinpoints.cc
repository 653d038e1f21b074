// SPDX-License-Identifier: Apache-2.0
#include "llava/image/pinpoints.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::image {
namespace {

constexpr int64_t kMaxSide = 65536;
constexpr size_t kMaxPinpoints = 4096;
constexpr std::array<int32_t, 5> kGridTileSizes = {224, 336, 384, 448, 512};

using Pair = std::pair<int64_t, int64_t>;

[[noreturn]] void refuse(std::string_view source, std::string_view found) {
  fail(ErrorCode::kBadFormat,
       "{}: image_grid_pinpoints is {}, expected a list of pairs of pixels such as "
       "[[336, 672], [672, 336]] or a string such as \"(1x1),...,(6x6)\"",
       source, found);
}

/// Reads characters of a pinpoint string from left to right, ignoring blanks.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool take(std::string_view any_of) {
    skip_blanks();
    if (at_ >= text_.size() || any_of.find(text_[at_]) == std::string_view::npos) return false;
    ++at_;
    return true;
  }

  std::optional<int64_t> take_number() {
    skip_blanks();
    const size_t begin = at_;
    int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = std::min(value * 10 + (text_[at_] - '0'), kMaxSide + 1);
    }
    if (at_ == begin) return std::nullopt;
    return value;
  }

  bool is_at_end() {
    skip_blanks();
    return at_ == text_.size();
  }

  size_t position() const { return at_; }
  void move_to(size_t position) { at_ = position; }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n')) {
      ++at_;
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

/// "(3x2)" at the scanner's place, or nothing with the place unchanged.
std::optional<Pair> take_grid(Scanner& scanner) {
  const size_t begin = scanner.position();
  if (scanner.take("(")) {
    const auto first = scanner.take_number();
    const bool has_x = first && scanner.take("x");
    const auto second = has_x ? scanner.take_number() : std::nullopt;
    if (second && scanner.take(")")) return Pair{*first, *second};
  }
  scanner.move_to(begin);
  return std::nullopt;
}

std::vector<Pair> parse_grids(std::string_view text, int32_t tile_size, std::string_view source) {
  if (std::find(kGridTileSizes.begin(), kGridTileSizes.end(), tile_size) == kGridTileSizes.end()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: image_grid_pinpoints counts tiles ('{}'), which is defined for tiles of 224, 336, "
         "384, 448 and 512 pixels and not for {}; list the pairs in pixels instead",
         source, text, tile_size);
  }
  std::vector<Pair> grids;
  Scanner scanner(text);
  while (!scanner.is_at_end()) {
    if (const auto grid = take_grid(scanner)) {
      grids.push_back(*grid);
    } else {
      scanner.move_to(scanner.position() + 1);
    }
    if (grids.size() > kMaxPinpoints) refuse(source, "a string of too many grids");
  }
  if (grids.empty()) refuse(source, fmt::format("'{}'", text));
  const bool is_range = text.find("...") != std::string_view::npos || grids.size() <= 2;
  if (is_range) {
    const Pair first = grids.front();
    const Pair last = grids.back();
    const bool is_ordered = first.first <= last.first && first.second <= last.second;
    if (!is_ordered || last.first > kMaxSide || last.second > kMaxSide ||
        static_cast<size_t>((last.first - first.first + 1) * (last.second - first.second + 1)) >
            kMaxPinpoints) {
      refuse(source, fmt::format("the range '{}' (empty or too long)", text));
    }
    grids.clear();
    for (int64_t i = first.first; i <= last.first; ++i) {
      for (int64_t j = first.second; j <= last.second; ++j) grids.emplace_back(i, j);
    }
  }
  for (Pair& grid : grids) {
    grid.first *= tile_size;
    grid.second *= tile_size;
  }
  return grids;
}

std::vector<Pair> parse_literal(std::string_view text, std::string_view source) {
  const auto bad = [&]() { refuse(source, fmt::format("'{}'", text.substr(0, 100))); };
  std::vector<Pair> pairs;
  Scanner scanner(text);
  if (!scanner.take("[(")) bad();
  while (!scanner.take("])")) {
    if (!pairs.empty() && !scanner.take(",")) bad();
    if (!pairs.empty() && scanner.take("])")) break;
    if (!scanner.take("[(")) bad();
    const auto first = scanner.take_number();
    if (!first || !scanner.take(",")) bad();
    const auto second = scanner.take_number();
    if (!second || !scanner.take("])")) bad();
    pairs.emplace_back(*first, *second);
    if (pairs.size() > kMaxPinpoints) refuse(source, "a list of too many pairs");
  }
  if (!scanner.is_at_end()) bad();
  return pairs;
}

std::vector<Pair> parse_list(const Json& value, std::string_view source) {
  std::vector<Pair> pairs;
  if (value.size() > kMaxPinpoints) refuse(source, "a list of too many pairs");
  for (const Json& entry : value) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_number_integer() ||
        !entry[1].is_number_integer()) {
      refuse(source, "a list with an entry that is no pair of integers");
    }
    pairs.emplace_back(entry[0].get<int64_t>(), entry[1].get<int64_t>());
  }
  return pairs;
}

}  // namespace

std::vector<ImageSize> parse_pinpoints(const nlohmann::json& value, PinpointOrder order,
                                       int32_t tile_size, std::string_view source) {
  std::vector<Pair> pairs;
  if (value.is_array()) {
    pairs = parse_list(value, source);
  } else if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text.size() > 65536) refuse(source, "a string of more than 65536 characters");
    pairs = text.find('x') != std::string::npos ? parse_grids(text, tile_size, source)
                                                : parse_literal(text, source);
  } else {
    refuse(source, value.type_name());
  }
  std::vector<ImageSize> pinpoints;
  pinpoints.reserve(pairs.size());
  for (const auto& [first, second] : pairs) {
    if (first < 1 || second < 1 || first > kMaxSide || second > kMaxSide) {
      refuse(source, fmt::format("[{}, {}] (a side outside of 1 to {})", first, second, kMaxSide));
    }
    const auto a = static_cast<int32_t>(first);
    const auto b = static_cast<int32_t>(second);
    pinpoints.push_back(order == PinpointOrder::kWidthFirst ? ImageSize{a, b} : ImageSize{b, a});
  }
  return pinpoints;
}

}  // namespace llava::image
