// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/answer.h"

#include <algorithm>
#include <random>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/log.h"
#include "llava/text/grammar/output_format.h"
#include "llava/text/python_text.h"

namespace llava::engine {
namespace {

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

}  // namespace

std::string text_or_file(const std::string& value) {
  constexpr uint64_t kMaxBytes = 1 << 20;
  return value.starts_with('@') ? read_file(value.substr(1), kMaxBytes) : value;
}

GenerationParams resolve_params(const Pretrained& pretrained, const AnswerOptions& options,
                                const PreparedPrompt& prompt) {
  const checkpoint::GenerationDefaults& defaults = pretrained.generation;
  GenerationParams params;
  params.sampling.temperature = options.temperature;
  params.sampling.top_p = options.top_p.value_or(static_cast<float>(defaults.top_p.value_or(1.0)));
  params.sampling.top_k = options.top_k.value_or(defaults.top_k.value_or(kDefaultTopK));
  params.sampling.repetition_penalty = options.repetition_penalty.value_or(
      static_cast<float>(defaults.repetition_penalty.value_or(1.0)));
  params.sampling.min_p = options.min_p;
  params.sampling.presence_penalty = options.presence_penalty;
  params.sampling.frequency_penalty = options.frequency_penalty;
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

std::shared_ptr<text::grammar::Grammar> make_grammar(const Pretrained& pretrained,
                                                     const AnswerOptions& options) {
  using text::grammar::OutputFormat;
  if (options.json_schema.empty() && options.grammar.empty()) return nullptr;
  if (!options.json_schema.empty() && !options.grammar.empty()) {
    fail(ErrorCode::kInvalidArgument, "give --json-schema or --grammar, not both");
  }
  const bool is_schema = !options.json_schema.empty();
  const OutputFormat format{
      .kind = is_schema ? OutputFormat::Kind::kJsonSchema : OutputFormat::Kind::kGbnf,
      .text = text_or_file(is_schema ? options.json_schema : options.grammar),
      .choices = {},
      .is_strict = true};
  const auto vocabulary = std::make_shared<const text::grammar::Vocabulary>(
      *pretrained.tokenizer, pretrained.end_ids(),
      std::min(pretrained.num_allowed_ids(), pretrained.tokenizer->size()));
  return std::make_shared<text::grammar::Grammar>(text::grammar::syntax_of(format), vocabulary);
}

int64_t tokens_needed(const PreparedPrompt& prompt, const GenerationParams& params,
                      bool is_pinned) {
  // Beams fork before their parents are released.
  const int64_t num_branches = std::max(1, 2 * params.num_beams - 1);
  const int64_t needed = prompt.num_tokens() + int64_t{params.max_new_tokens} * num_branches;
  return is_pinned ? std::max(needed, int64_t{2} * prompt.num_tokens()) : needed;
}

GenerationRequest make_request(const PreparedPrompt& prompt, GenerationParams params,
                               std::vector<std::string> stop) {
  GenerationRequest request;
  request.prompt = prompt.sequence;
  request.images = prompt.images;
  request.params = std::move(params);
  request.stop = std::move(stop);
  return request;
}

Answer generate_answer(Engine& engine, const Pretrained& pretrained, const PreparedPrompt& prompt,
                       const AnswerOptions& options, const AnswerCallbacks& callbacks,
                       std::stop_token stop) {
  GenerationRequest request =
      make_request(prompt, resolve_params(pretrained, options, prompt), options.stop);
  request.grammar = make_grammar(pretrained, options);
  request.pin = options.pin;
  const std::shared_ptr<AnswerStream> stream = engine.submit(std::move(request));
  const std::stop_callback cancel(stop, [&] { stream->cancel(); });
  Answer answer;
  while (const auto delta = stream->next()) {
    if (stop.stop_requested()) {
      // What was on its way is not part of the answer.
      answer.finish_reason = FinishReason::kCancelled;
      continue;
    }
    for (const TokenChoice& token : delta->tokens) {
      answer.ids.push_back(token.id);
      if (callbacks.on_id) callbacks.on_id(token.id);
    }
    answer.text += delta->text;
    if (callbacks.on_text && !delta->text.empty()) callbacks.on_text(delta->text);
    if (delta->finish_reason) answer.finish_reason = *delta->finish_reason;
  }
  answer.text = text::strip_space(answer.text);
  const AnswerUsage usage = stream->usage();
  answer.cached_tokens = usage.cached_tokens;
  answer.draft_tokens = usage.draft_tokens;
  answer.accepted_tokens = usage.accepted_tokens;
  answer.encoded_images = usage.encoded_images;
  answer.timings = {.encode_ms = usage.encode_ms,
                    .prefill_ms = usage.first_token_ms - usage.queue_ms - usage.encode_ms,
                    .first_token_ms = usage.first_token_ms,
                    .decode_ms = usage.decode_ms};
  return answer;
}

}  // namespace llava::engine
