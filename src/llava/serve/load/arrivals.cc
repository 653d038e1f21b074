// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/load/arrivals.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <random>
#include <string_view>

#include "llava/core/error.h"
#include "llava/core/file.h"

namespace llava::serve {
namespace {

constexpr uint64_t kMaxReplayBytes = 256 << 20;

std::vector<double> read_replay(const std::string& file) {
  const std::string text = read_file(file, kMaxReplayBytes);
  std::vector<double> times;
  std::string_view rest = text;
  for (int64_t number = 1; !rest.empty(); ++number) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    double time = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), time);
    if (error != std::errc{} || end != line.data() + line.size() || !std::isfinite(time) ||
        time < 0) {
      fail(ErrorCode::kBadFormat, "'{}', line {}: expected seconds, found '{}'", file, number,
           line.substr(0, 40));
    }
    times.push_back(time);
  }
  std::ranges::sort(times);
  return times;
}

}  // namespace

std::vector<double> make_arrivals(const LoadOptions& options) {
  if (!options.replay.empty()) return read_replay(options.replay);
  std::mt19937_64 random(options.seed);
  std::exponential_distribution<double> gap(options.rate);
  std::vector<double> times;
  double now = 0;
  for (int32_t i = 0; i < options.requests; ++i) {
    times.push_back(now);
    if (options.arrivals == "poisson") {
      now += gap(random);
    } else if (options.arrivals == "uniform") {
      now = (i + 1) / options.rate;
    } else if ((i + 1) % options.burst == 0) {
      now = (i + 1) / options.rate;
    }
  }
  return times;
}

}  // namespace llava::serve
