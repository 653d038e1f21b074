// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "llava/train_report/axis.h"
#include "llava/train_report/html_text.h"
#include "llava/train_report/number_text.h"

namespace llava::train_report {
namespace {

constexpr double kWidth = 560;
constexpr double kHeight = 230;
constexpr double kLeft = 74;
constexpr double kRight = 24;
constexpr double kTop = 10;
constexpr double kBottom = 44;
// One for each unit of the drawing's width.
constexpr std::size_t kBuckets = 480;

std::string tick_text(double value) {
  const double size = std::abs(value);
  if (size >= 10000 && size < 1e9 && value == std::floor(value)) {
    return count_text(static_cast<uint64_t>(value));
  }
  return fmt::format("{:.6g}", size < 1e-12 ? 0.0 : value);
}

// Frame, grid and words common to both kinds.
class Drawing {
 public:
  Drawing(const ChartText& text, const Axis& x, const Axis& y) : text_(text), x_(x), y_(y) {}

  std::string begin(const std::string& description) const {
    std::string out = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
                                  kWidth, kHeight, escape_html(text_.title + ": " + description));
    for (const double value : y_.ticks(5)) {
      const double at = y_.place(value);
      out += fmt::format(
          "<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
          "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
          x_.begin, x_.end, at, at, x_.begin - 6, at + 4, tick_text(value));
    }
    for (const double value : x_.ticks(6)) {
      out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                         x_.place(value), kHeight - kBottom + 17, tick_text(value));
    }
    out += fmt::format(
        "<line class=\"axis\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
        x_.begin, x_.end, y_.begin, y_.begin);
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                       (x_.begin + x_.end) / 2, kHeight - 8, escape_html(text_.x_label));
    const double middle = (y_.begin + y_.end) / 2;
    out += fmt::format(
        "<text x=\"14\" y=\"{0:.1f}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {0:.1f})\">"
        "{1}</text>\n",
        middle, escape_html(text_.y_label));
    return out;
  }

  const Axis& x() const { return x_; }
  const Axis& y() const { return y_; }

 private:
  const ChartText& text_;
  Axis x_;
  Axis y_;
};

std::string path_of(const std::vector<Point>& points, const Drawing& drawing) {
  std::string path;
  bool is_new = true;
  for (const Point& point : points) {
    if (point.is_gap()) {
      is_new = true;
      continue;
    }
    const double x = drawing.x().place(point.x);
    const double y = drawing.y().place(point.y);
    path += fmt::format("{}{:.1f} {:.1f}", is_new ? "M" : "L", x, y);
    // A line of no length, so that a point between gaps is a dot.
    if (is_new) path += "h0";
    is_new = false;
  }
  return path;
}

std::string marks_of(const std::vector<Point>& points, const Drawing& drawing,
                     const std::string& css_class) {
  std::string out;
  for (const Point& point : points) {
    if (point.is_gap()) continue;
    out += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>", css_class,
                       drawing.x().place(point.x), drawing.y().place(point.y));
  }
  return out;
}

std::vector<Point> numbers_of(const std::vector<Point>& points) {
  std::vector<Point> numbers;
  std::ranges::copy_if(points, std::back_inserter(numbers),
                       [](const Point& point) { return !point.is_gap(); });
  return numbers;
}

std::string description_of(const std::vector<Curve>& curves) {
  std::string out;
  for (const Curve& curve : curves) {
    const std::vector<Point> numbers = numbers_of(curve.points);
    if (numbers.empty()) continue;
    const auto [low, high] = std::ranges::minmax(numbers, {}, &Point::y);
    out += fmt::format("{}{} from {} to {}, lowest {}, highest {}", out.empty() ? "" : "; ",
                       curve.name, number_text(numbers.front().y), number_text(numbers.back().y),
                       number_text(low.y), number_text(high.y));
  }
  return out;
}

std::string figure(const ChartText& text, const std::string& legend, const std::string& svg) {
  return fmt::format("<figure>\n<figcaption><b>{}</b>{}</figcaption>\n{}</svg>\n</figure>\n",
                     escape_html(text.title), legend, svg);
}

}  // namespace

std::string line_chart(const ChartText& text, const std::vector<Curve>& curves) {
  std::vector<Point> all;
  for (const Curve& curve : curves) {
    const std::vector<Point> numbers = numbers_of(curve.points);
    all.insert(all.end(), numbers.begin(), numbers.end());
  }
  if (all.empty()) return {};
  const auto [left, right] = std::ranges::minmax(all, {}, &Point::x);
  const auto [low, high] = std::ranges::minmax(all, {}, &Point::y);
  const double margin = (high.y - low.y) * 0.04;
  const double bottom = text.starts_at_zero ? std::min(0.0, low.y) : low.y - margin;
  const Drawing drawing(text, make_axis(left.x, right.x, kLeft, kWidth - kRight),
                        make_axis(bottom, high.y + margin, kHeight - kBottom, kTop));
  std::string svg = drawing.begin(description_of(curves));
  std::string legend;
  for (const Curve& curve : curves) {
    if (numbers_of(curve.points).empty()) continue;
    const std::vector<Point> drawn = thin(curve.points, kBuckets);
    svg += fmt::format("<path class=\"line {}\" d=\"{}\"/>\n", curve.css_class,
                       path_of(drawn, drawing));
    if (curve.has_marks) svg += marks_of(drawn, drawing, curve.css_class) + "\n";
    legend += fmt::format(
        "<span class=\"key\"><svg viewBox=\"0 0 18 8\" aria-hidden=\"true\"><path "
        "class=\"line {}\" d=\"M1 4L17 4\"/></svg> {}",
        curve.css_class, escape_html(curve.name));
    if (drawn.size() < curve.points.size()) {
      legend += fmt::format(" ({} of {} points, extremes kept)", count_text(drawn.size()),
                            count_text(curve.points.size()));
    }
    legend += "</span> ";
  }
  return figure(text, legend, svg);
}

std::string bar_chart(const ChartText& text, std::span<const double> counts, double width,
                      double limit) {
  if (counts.empty() || !(width > 0)) return {};
  const double end = width * static_cast<double>(counts.size());
  const double most = std::max(1.0, *std::ranges::max_element(counts));
  const Drawing drawing(text, make_axis(0, std::max(end, limit), kLeft, kWidth - kRight),
                        make_axis(0, most * 1.05, kHeight - kBottom, kTop));
  std::string svg = drawing.begin(fmt::format("{} bars of {} each, the highest {}", counts.size(),
                                              tick_text(width), tick_text(most)));
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (!(counts[i] > 0)) continue;
    const double from = width * static_cast<double>(i);
    const double x = drawing.x().place(from);
    const double y = drawing.y().place(counts[i]);
    svg += fmt::format(
        "<rect class=\"bar\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
        "height=\"{:.1f}\"><title>{} "
        "to {}: {}</title></rect>\n",
        x, y, std::max(1.0, drawing.x().place(from + width) - x - 1), drawing.y().begin - y,
        tick_text(from), tick_text(from + width - 1), tick_text(counts[i]));
  }
  if (limit > 0) {
    const double x = drawing.x().place(limit);
    svg += fmt::format(
        "<line class=\"limit\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>"
        "<text x=\"{3:.1f}\" y=\"{4:.1f}\" text-anchor=\"end\">limit {5}</text>\n",
        x, kTop, drawing.y().begin, x - 5, kTop + 12, tick_text(limit));
  }
  return figure(text, "", svg);
}

}  // namespace llava::train_report
