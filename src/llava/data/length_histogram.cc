// SPDX-License-Identifier: Apache-2.0
#include "llava/data/length_histogram.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace llava::data {
namespace {

constexpr int64_t kMostBars = 50;
constexpr double kWidth = 800;
constexpr double kHeight = 400;
constexpr double kLeft = 70;
constexpr double kRight = 20;
constexpr double kTop = 40;
constexpr double kBottom = 50;

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // Control characters are not XML.
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

// 1, 2 or 5 times a power of ten, at least `value`.
int64_t round_up(double value) {
  for (int64_t power = 1;; power *= 10) {
    for (const int64_t factor : {1, 2, 5}) {
      if (static_cast<double>(factor * power) >= value) return factor * power;
    }
  }
}

class Drawing {
 public:
  Drawing(const LengthBars& bars, const HistogramText& text) : bars_(bars), text_(text) {}

  std::string run() {
    out_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
        "height=\"{1}\" role=\"img\" font-family=\"sans-serif\" font-size=\"12\">\n"
        "<title>{2}</title>\n<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n",
        kWidth, kHeight, escape(text_.title));
    label(kWidth / 2, 20, "middle", text_.title);
    draw_counts();
    draw_bars();
    draw_lengths();
    if (text_.limit > 0) draw_limit();
    return out_ + "</svg>\n";
  }

 private:
  double x_of(int64_t length) const {
    return kLeft + (kWidth - kLeft - kRight) * static_cast<double>(length) /
                       static_cast<double>(bars_.end());
  }
  double y_of(int64_t count) const {
    return kHeight - kBottom -
           (kHeight - kTop - kBottom) * static_cast<double>(count) /
               static_cast<double>(bars_.most);
  }

  void label(double x, double y, std::string_view anchor, std::string_view text) {
    out_ +=
        fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"#222\">{}</text>\n",
                    x, y, anchor, escape(text));
  }

  void draw_counts() {
    const int64_t step = round_up(static_cast<double>(bars_.most) / 5);
    for (int64_t count = 0; count <= bars_.most; count += step) {
      out_ += fmt::format(
          "<line x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#ccc\"/>\n",
          kLeft, kWidth - kRight, y_of(count));
      label(kLeft - 6, y_of(count) + 4, "end", fmt::format("{}", count));
    }
  }

  void draw_bars() {
    for (std::size_t i = 0; i < bars_.counts.size(); ++i) {
      if (bars_.counts[i] == 0) continue;
      const int64_t begin = bars_.width * static_cast<int64_t>(i);
      const double x = x_of(begin);
      const double y = y_of(bars_.counts[i]);
      out_ += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"#2a6fb0\">"
          "<title>{} to {} {}: {} samples</title></rect>\n",
          x, y, std::max(1.0, x_of(begin + bars_.width) - x - 1), kHeight - kBottom - y, begin,
          begin + bars_.width - 1, escape(text_.unit), bars_.counts[i]);
    }
  }

  void draw_lengths() {
    const int64_t step = round_up(static_cast<double>(bars_.end()) / 8);
    for (int64_t length = 0; length <= bars_.end(); length += step) {
      label(x_of(length), kHeight - kBottom + 18, "middle", fmt::format("{}", length));
    }
    label((kLeft + kWidth - kRight) / 2, kHeight - 10, "middle", text_.unit + " of a sample");
  }

  void draw_limit() {
    const double x = x_of(text_.limit);
    out_ += fmt::format(
        "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\" stroke=\"#b00020\" "
        "stroke-dasharray=\"4 3\"/>\n",
        x, kTop - 8, kHeight - kBottom);
    label(x - 4, kTop, "end", fmt::format("limit {}", text_.limit));
  }

  const LengthBars& bars_;
  const HistogramText& text_;
  std::string out_;
};

}  // namespace

LengthSummary summarize_lengths(std::span<const int32_t> lengths) {
  if (lengths.empty()) return {};
  std::vector<int32_t> sorted(lengths.begin(), lengths.end());
  std::sort(sorted.begin(), sorted.end());
  const auto at = [&](double share) {
    const auto last = static_cast<double>(sorted.size() - 1);
    return int64_t{sorted[static_cast<std::size_t>(share * last)]};
  };
  const int64_t sum = std::accumulate(sorted.begin(), sorted.end(), int64_t{0});
  return {.min = sorted.front(),
          .median = at(0.5),
          .p95 = at(0.95),
          .max = sorted.back(),
          .mean = static_cast<double>(sum) / static_cast<double>(sorted.size())};
}

LengthBars count_lengths(std::span<const int32_t> lengths, int64_t limit) {
  LengthBars bars;
  int64_t longest = std::max<int64_t>(limit, 1);
  for (const int32_t length : lengths) longest = std::max<int64_t>(longest, length);
  bars.width = round_up(static_cast<double>(longest + 1) / static_cast<double>(kMostBars));
  bars.counts.resize(static_cast<std::size_t>(longest / bars.width + 1));
  for (const int32_t length : lengths) {
    ++bars.counts[static_cast<std::size_t>(std::max(0, length) / bars.width)];
  }
  bars.most = std::max<int64_t>(1, *std::max_element(bars.counts.begin(), bars.counts.end()));
  return bars;
}

std::string length_histogram_svg(std::span<const int32_t> lengths, const HistogramText& text) {
  const LengthBars bars = count_lengths(lengths, text.limit);
  return Drawing(bars, text).run();
}

}  // namespace llava::data
