// SPDX-License-Identifier: Apache-2.0
//
// One answer: budget checks, prefill, generation, text as it comes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "llava/engine/engine.h"
#include "llava/engine/prompt_images.h"

namespace llava::engine {

/// Decoding settings a user may give; what is not given comes from the checkpoint's
/// generation_config.json, then from the published library's defaults.
struct AnswerOptions {
  float temperature = 0.2f;
  std::optional<float> top_p;
  std::optional<int32_t> top_k;
  int32_t num_beams = 1;
  int32_t max_new_tokens = 512;
  std::optional<float> repetition_penalty;
  float min_p = 0.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::vector<std::string> stop;
  std::string json_schema;
  std::string grammar;
  std::optional<uint64_t> seed;
  /// Name under which the prompt's beginning stays cached (GenerationRequest::pin); empty: none.
  std::string pin = {};

  template <class V>
  void describe(V& v) {
    v.field("temperature", temperature, "0 chooses the most likely token, above 0 samples",
            at_least(0.0f));
    v.field("top-p", top_p, "sample from the smallest set of tokens with this probability in all",
            in_range(0.0f, 1.0f));
    v.field("top-k", top_k, "sample from this many most likely tokens; 0: all", at_least(0));
    v.field("num-beams", num_beams, "width of the beam search; 1: none", in_range(1, 256));
    v.field("max-new-tokens", max_new_tokens, "upper bound on generated tokens",
            in_range(1, 1 << 20));
    v.field("repetition-penalty", repetition_penalty,
            "above 1 makes tokens that occurred less likely");
    v.field("min-p", min_p, "drop tokens below this share of the most likely one's probability",
            in_range(0.0f, 1.0f));
    v.field("presence-penalty", presence_penalty, "taken once from tokens that occur in the answer",
            in_range(-2.0f, 2.0f));
    v.field("frequency-penalty", frequency_penalty, "taken for every time they occur",
            in_range(-2.0f, 2.0f));
    v.field("json-schema", json_schema,
            "the answer is JSON that fits this schema: its text, or @ and the name of its file");
    v.field("grammar", grammar,
            "the answer fits this grammar (GBNF): its text, or @ and the name of its file");
    v.field("stop", stop, "text that ends the answer (may be given several times)");
    v.field("seed", seed, "seed of the sampling; without it a random one, which is logged");
  }
};

/// What an answer is made for.
struct AnswerTimings {
  double encode_ms = 0;
  double prefill_ms = 0;
  double first_token_ms = 0;
  double decode_ms = 0;
};

struct Answer {
  std::string text;  ///< special tokens skipped, outer whitespace trimmed, cut at a stop string
  std::vector<int32_t> ids;
  FinishReason finish_reason = FinishReason::kLength;
  int32_t cached_tokens = 0;    ///< of the prompt, computed for an earlier one
  int32_t encoded_images = 0;   ///< pictures whose features no cache had
  int32_t draft_tokens = 0;     ///< guessed ahead (speculative decoding)
  int32_t accepted_tokens = 0;  ///< of those, right
  AnswerTimings timings;
};

/// Called as the answer grows; either may be empty.
struct AnswerCallbacks {
  std::function<void(int32_t id)> on_id;
  /// Text that may be shown now: whole characters, nothing that may belong to a stop string.
  std::function<void(std::string_view text)> on_text;
};

/// Generation settings for this checkpoint from what the user gave.
GenerationParams resolve_params(const Pretrained& pretrained, const AnswerOptions& options,
                                const PreparedPrompt& prompt);

/// A schema or grammar as the command line has it: its text, or behind "@" the name of its file.
///
/// Throws: what read_file throws.
std::string text_or_file(const std::string& value);

/// What the options say the answer must look like; null: anything.
///
/// Throws: Error(kInvalidArgument) for a schema or grammar that cannot be, Error(kNotFound) for a
/// file that is not there.
std::shared_ptr<text::grammar::Grammar> make_grammar(const Pretrained& pretrained,
                                                     const AnswerOptions& options);

/// Tokens of KV cache that an answer may need. Pins may hold half of it, so that one whose prompt
/// is pinned needs twice its length.
int64_t tokens_needed(const PreparedPrompt& prompt, const GenerationParams& params,
                      bool is_pinned = false);

/// What the engine is asked for an answer to `prompt`.
GenerationRequest make_request(const PreparedPrompt& prompt, GenerationParams params,
                               std::vector<std::string> stop);

/// Generates one answer and waits for it; the callbacks are called on this thread. Cancelled
/// through `stop` between two tokens.
///
/// Throws: Error(kInvalidArgument) when the prompt leaves no room in the context, with all counts,
/// before any work, and what Engine::submit and the stream throw.
Answer generate_answer(Engine& engine, const Pretrained& pretrained, const PreparedPrompt& prompt,
                       const AnswerOptions& options, const AnswerCallbacks& callbacks,
                       std::stop_token stop = {});

}  // namespace llava::engine
