// SPDX-License-Identifier: Apache-2.0
//
// The cases of `llava bench`: what is run, how often, and how they are spelt.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace llava::engine {

enum class BenchKind : uint8_t {
  kPrefill,  ///< a prompt of `size` tokens
  kDecode,   ///< one sequence's tokens after a context of `size`
  kBatch,    ///< tokens of `size` sequences together, each after a context of kBatchContext
  kEncode,   ///< vision tower and projector on one picture
  /// From a picture and `size` text tokens to the first new one, through the engine.
  kFirstToken,
  /// The same for another text about a picture that the engine has seen.
  kSecondQuestion,
};

/// Context of the sequences of kBatch.
inline constexpr int32_t kBatchContext = 64;
/// Tokens that one sample of kDecode and kBatch generates for each sequence.
inline constexpr int32_t kBenchSteps = 8;

struct BenchCase {
  BenchKind kind = BenchKind::kPrefill;
  int32_t size = 0;  ///< 0 for kEncode

  bool needs_vision() const { return kind == BenchKind::kEncode || is_question(); }
  /// Goes through the engine instead of the bare model.
  bool is_question() const {
    return kind == BenchKind::kFirstToken || kind == BenchKind::kSecondQuestion;
  }
  /// Text positions that a sequence of this case comes to.
  int32_t num_text_tokens() const;
  int32_t num_sequences() const { return kind == BenchKind::kBatch ? size : 1; }
  /// Tokens that each time measured stands for; 0 when the time itself is the result.
  int32_t tokens_per_time() const;

  friend bool operator==(const BenchCase&, const BenchCase&) = default;
};

/// Reads "prefill:512", "decode:700", "batch:8", "encode", "first_token:40" or
/// "second_question:40".
///
/// Throws: Error(kInvalidArgument) naming the text and the forms expected.
BenchCase parse_bench_case(std::string_view text);
/// Reads a list with commas between the cases.
std::vector<BenchCase> parse_bench_cases(std::string_view text);

/// The spelling that parse_bench_case reads.
std::string bench_case_name(const BenchCase& bench_case);

}  // namespace llava::engine
