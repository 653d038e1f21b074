// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bench/bench_command.h"

#include <charconv>
#include <chrono>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/hash.h"
#include "llava/core/json.h"
#include "llava/core/memory_use.h"
#include "llava/engine/bench/bench_report.h"
#include "llava/image/decode.h"
#include "llava/image/preprocess.h"

namespace llava::engine {
namespace {

constexpr std::string_view kGreedy = "greedy:";
constexpr std::string_view kPreprocess = "preprocess:";

// Numbers with ',' between them.
std::vector<int32_t> parse_ids(std::string_view text, int32_t bound) {
  std::vector<int32_t> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || id < 0 || id >= bound || (next != end && *next != ',')) {
      fail(ErrorCode::kInvalidArgument, "'{}' is no list of numbers below {} with ',' between them",
           text, bound);
    }
    ids.push_back(id);
    if (next == end) return ids;
    at = next + 1;
  }
}

std::string greedy(Workload& workload, std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    fail(ErrorCode::kInvalidArgument, "command 'greedy:{}' is not of the form greedy:COUNT:IDS",
         text);
  }
  constexpr int32_t kMaxCount = 1 << 16;
  const int32_t count = parse_ids(text.substr(0, colon), kMaxCount).front();
  const int32_t vocabulary = workload.model().model().config.decoder.vocab_size;
  OrderedJson json;
  json["ids"] = workload.greedy(parse_ids(text.substr(colon + 1), vocabulary), count);
  return to_text(json);
}

std::string preprocess(std::string_view file, int num_threads) {
  constexpr int32_t kSide = 336;
  const image::ImageProcessorConfig processor{.shortest_edge = kSide, .crop_size = {kSide, kSide}};
  const auto start = std::chrono::steady_clock::now();
  const image::RgbImage picture =
      image::decode_file(std::filesystem::path(file), {.num_threads = num_threads});
  const image::PixelValues pixels =
      image::preprocess(picture, processor, image::plan_layout(picture.size, {}), num_threads);
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
  OrderedJson json;
  json["ms"] = {time.count()};
  json["sha256"] = to_hex(sha256(std::as_bytes(std::span(pixels.values))));
  return to_text(json);
}

}  // namespace

std::string run_bench_command(Workload& workload, std::string_view command, int num_threads) {
  if (command.starts_with(kGreedy)) return greedy(workload, command.substr(kGreedy.size()));
  if (command.starts_with(kPreprocess)) {
    return preprocess(command.substr(kPreprocess.size()), num_threads);
  }
  if (command != "memory") return bench_json(workload.run(parse_bench_case(command)));
  const MemoryUse use = memory_use();
  OrderedJson json;
  json["bytes"] = use.bytes;
  json["peak_bytes"] = use.peak_bytes;
  return to_text(json);
}

}  // namespace llava::engine
