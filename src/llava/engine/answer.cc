// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/answer.h"

#include <chrono>
#include <random>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/engine/memory.h"
#include "llava/engine/stop.h"
#include "llava/text/python_text.h"
#include "llava/text/stream_decoder.h"

namespace llava::engine {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// The published library's default, not the model's: top-k is 50 unless a file says otherwise.
constexpr int32_t kDefaultTopK = 50;

// Room for the answer in the model's context; fewer tokens than asked for are generated when the
// prompt leaves fewer.
int32_t fit_context(const Pretrained& pretrained, const PreparedPrompt& prompt, int32_t asked_for) {
  const int32_t context = pretrained.context_length();
  const int32_t room = context - prompt.num_tokens();
  if (room < 1) {
    fail(ErrorCode::kInvalidArgument,
         "the prompt has {} tokens ({} of text, {} of pictures), but the model's context holds {}: "
         "shorten the question or show fewer or smaller pictures",
         prompt.num_tokens(), prompt.num_tokens() - prompt.num_image_tokens(),
         prompt.num_image_tokens(), context);
  }
  if (room < asked_for) {
    log_warning("answer_limited_by_context", {{"max_new_tokens", room}, {"asked_for", asked_for}});
  }
  return std::min(room, asked_for);
}

void check_memory(const Pretrained& pretrained, const PreparedPrompt& prompt,
                  const GenerationParams& params) {
  const int64_t tokens = int64_t{prompt.num_tokens()} +
                         int64_t{params.max_new_tokens} * std::max(1, 2 * params.num_beams - 1);
  const int64_t per_token =
      KvCache::bytes_per_token(pretrained.model->config.decoder, pretrained.model->dtype());
  require_memory(tokens * per_token, fmt::format("the KV cache of {} tokens", tokens));
}

}  // namespace

GenerationParams resolve_params(const Pretrained& pretrained, const AnswerOptions& options,
                                const PreparedPrompt& prompt) {
  const checkpoint::GenerationDefaults& defaults = pretrained.generation;
  GenerationParams params;
  params.sampling.temperature = options.temperature;
  params.sampling.top_p = options.top_p.value_or(static_cast<float>(defaults.top_p.value_or(1.0)));
  params.sampling.top_k = options.top_k.value_or(defaults.top_k.value_or(kDefaultTopK));
  params.sampling.repetition_penalty = options.repetition_penalty.value_or(
      static_cast<float>(defaults.repetition_penalty.value_or(1.0)));
  params.num_beams = options.num_beams;
  params.length_penalty = static_cast<float>(defaults.length_penalty.value_or(1.0));
  if (defaults.early_stopping.value_or(false)) params.early_stopping = EarlyStopping::kTrue;
  params.max_new_tokens = fit_context(pretrained, prompt, options.max_new_tokens);
  params.end_ids = pretrained.end_ids();
  params.num_allowed_ids = pretrained.num_allowed_ids();
  // In the original only embeddings are passed, so its penalty sees the begin token it starts from;
  // the Hugging Face models pass the whole prompt.
  if (pretrained.is_hugging_face()) {
    params.penalty_ids = prompt.ids_with_sentinels;
    for (int32_t& id : params.penalty_ids) {
      if (id == text::kImageSentinel) id = *pretrained.description.image_token_id;
    }
  } else if (const auto bos = pretrained.tokenizer->bos_id()) {
    params.penalty_ids = {*bos};
  }
  if (options.seed) {
    params.sampling.seed = *options.seed;
  } else if (!params.sampling.is_greedy()) {
    params.sampling.seed = std::random_device{}();
    log_info("sampling", {{"seed", params.sampling.seed}});
  }
  return params;
}

Answer generate_answer(Context& ctx, const Pretrained& pretrained, const PreparedPrompt& prompt,
                       const AnswerOptions& options, const AnswerCallbacks& callbacks,
                       std::stop_token stop) {
  const GenerationParams params = resolve_params(pretrained, options, prompt);
  validate(params);
  check_memory(pretrained, prompt, params);
  Answer answer;
  const auto start = Clock::now();
  ModelRunner runner(ctx, *pretrained.model, prompt.num_tokens(), params.max_new_tokens,
                     params.num_beams);
  const Tensor embeds_TD = runner.embed(prompt.inputs());
  answer.timings.encode_ms = ms_since(start);
  const auto prefill_start = Clock::now();
  std::vector<float> logits;
  const int32_t sequence = runner.prefill(embeds_TD, logits);
  answer.timings.prefill_ms = ms_since(prefill_start);

  text::StreamDecoder decoder(*pretrained.tokenizer, /*skip_special=*/true);
  StopChecker checker(options.stop);
  const auto show = [&](const std::string& text) {
    answer.text += text;
    if (callbacks.on_text && !text.empty()) callbacks.on_text(text);
  };
  const auto on_token = [&](int32_t id) {
    if (answer.timings.first_token_ms == 0) answer.timings.first_token_ms = ms_since(start);
    if (callbacks.on_id) callbacks.on_id(id);
    // Rows beyond the vocabulary pad published tables; like the published decoders, they are no
    // text.
    if (id < pretrained.tokenizer->size()) show(checker.push(decoder.push(id)));
    return !checker.is_stopped();
  };
  const auto decode_start = Clock::now();
  Generated generated;
  if (params.num_beams > 1) {
    generated = beam_search(runner, sequence, std::move(logits), params, stop);
    for (const int32_t id : generated.ids) {
      if (on_token(id)) continue;
      generated.finish_reason = FinishReason::kStopString;
      break;
    }
  } else {
    generated = generate(runner, sequence, std::move(logits), params, on_token, {}, stop);
  }
  show(checker.push(decoder.finish()));
  show(checker.finish());
  answer.text = text::strip_space(answer.text);
  answer.timings.decode_ms = ms_since(decode_start);
  answer.ids = std::move(generated.ids);
  answer.finish_reason = generated.finish_reason;
  return answer;
}

}  // namespace llava::engine
