// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bench/bench_case.h"

#include <charconv>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

constexpr int32_t kMaxSize = 1 << 20;

struct KindName {
  BenchKind kind;
  std::string_view name;
  bool has_size;
};

constexpr KindName kKinds[] = {{BenchKind::kPrefill, "prefill", true},
                               {BenchKind::kDecode, "decode", true},
                               {BenchKind::kBatch, "batch", true},
                               {BenchKind::kEncode, "encode", false},
                               {BenchKind::kFirstToken, "first_token", true},
                               {BenchKind::kSecondQuestion, "second_question", true}};

}  // namespace

int32_t BenchCase::num_text_tokens() const {
  switch (kind) {
    case BenchKind::kPrefill:
      return size;
    case BenchKind::kDecode:
      return size + kBenchSteps;
    case BenchKind::kBatch:
      return kBatchContext + kBenchSteps;
    case BenchKind::kEncode:
      return 0;
    case BenchKind::kFirstToken:
    case BenchKind::kSecondQuestion:
      break;
  }
  return size;
}

int32_t BenchCase::tokens_per_time() const {
  switch (kind) {
    case BenchKind::kPrefill:
    case BenchKind::kBatch:
      return size;
    case BenchKind::kDecode:
      return 1;
    case BenchKind::kEncode:
    case BenchKind::kFirstToken:
    case BenchKind::kSecondQuestion:
      break;
  }
  return 0;
}

BenchCase parse_bench_case(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  for (const KindName& kind : kKinds) {
    if (kind.name != name || kind.has_size != (colon != std::string_view::npos)) continue;
    if (!kind.has_size) return {.kind = kind.kind};
    const std::string_view digits = text.substr(colon + 1);
    int32_t size = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
    if (error != std::errc() || end != digits.data() + digits.size() || size < 1 ||
        size > kMaxSize) {
      break;
    }
    return {.kind = kind.kind, .size = size};
  }
  fail(ErrorCode::kInvalidArgument,
       "case '{}' is unknown, expected prefill:TOKENS, decode:CONTEXT, batch:SEQUENCES, encode, "
       "first_token:TEXT_TOKENS or second_question:TEXT_TOKENS, with a number from 1 to {}",
       text, kMaxSize);
}

std::vector<BenchCase> parse_bench_cases(std::string_view text) {
  std::vector<BenchCase> cases;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    cases.push_back(parse_bench_case(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return cases;
}

std::string bench_case_name(const BenchCase& bench_case) {
  for (const KindName& kind : kKinds) {
    if (kind.kind != bench_case.kind) continue;
    return kind.has_size ? fmt::format("{}:{}", kind.name, bench_case.size)
                         : std::string(kind.name);
  }
  return {};
}

}  // namespace llava::engine
