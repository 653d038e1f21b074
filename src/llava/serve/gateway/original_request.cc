// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/original_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "llava/serve/gateway/original_prompt.h"
#include "llava/serve/gateway/worker_picture.h"
#include "llava/serve/legacy/wire_json.h"
#include "llava/serve/legacy/worker_request.h"
#include "llava/serve/media/image_input.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/chat_request.h"
#include "llava/serve/protocol/completion_request.h"

namespace llava::serve {
namespace {

/// More a worker of the original does not make.
constexpr int32_t kMostNewTokens = 1024;
/// It cannot work without a stop string; this one ends nothing that its end token does not.
constexpr std::string_view kHarmlessStop = "</s>";

[[noreturn]] void refuse(const std::string& name) {
  throw ApiError(400, "unsupported_parameter",
                 fmt::format("{}: the worker of this model speaks the original's protocol, which "
                             "has no such field",
                             name),
                 name);
}

void refuse_unsupported(const GenerationFields& fields, int32_t num_top_logprobs) {
  const std::pair<bool, const char*> unsupported[] = {
      {fields.num_choices > 1, "n"},
      {num_top_logprobs >= 0, "logprobs"},
      {fields.top_k.value_or(0) > 0, "top_k"},
      {fields.min_p.value_or(0) > 0, "min_p"},
      {fields.repetition_penalty.value_or(1) != 1, "repetition_penalty"},
      {fields.presence_penalty != 0, "presence_penalty"},
      {fields.frequency_penalty != 0, "frequency_penalty"},
      {!fields.logit_bias.empty(), "logit_bias"},
      {fields.seed.has_value(), "seed"},
      {!fields.stop_token_ids.empty(), "stop_token_ids"},
      {fields.min_tokens > 0, "min_tokens"},
      {fields.ignore_eos, "ignore_eos"},
      {fields.includes_stop_string, "include_stop_str_in_output"},
      {fields.format.has_value(), "response_format"}};
  for (const auto& [is_wanted, name] : unsupported) {
    if (is_wanted) refuse(name);
  }
}

std::vector<std::string> pictures_of(const std::vector<ImageSource>& sources) {
  std::vector<std::string> pictures;
  const ImageLimits limits;
  for (const ImageSource& source : sources) {
    pictures.push_back(
        encode_worker_picture(decode_image(*read_image_bytes(source, limits), source, limits)));
  }
  return pictures;
}

/// Fills in what does not depend on the form. `prompt` and the template's stop string are there.
void add_fields(OriginalRequest& request, std::string_view model, const GenerationFields& fields,
                std::vector<std::string> pictures) {
  const std::string stop(request.stop.empty() ? kHarmlessStop : request.stop.front());
  // A worker knows one stop string; the client's are looked for here.
  request.stop.insert(request.stop.end(), fields.stop.begin(), fields.stop.end());
  request.is_streamed = fields.is_streamed;
  request.includes_usage = fields.includes_usage;
  const float top_p = fields.top_p.value_or(1);
  const bool is_greedy = top_p <= 0;
  OrderedJson body = {{"model", model}, {"prompt", request.prompt}};
  body["temperature"] = is_greedy ? 0.0f : fields.temperature.value_or(1);
  body["top_p"] = is_greedy ? 1.0f : top_p;
  body["max_new_tokens"] = std::min(fields.max_tokens.value_or(kMostNewTokens), kMostNewTokens);
  body["stop"] = stop;
  body["images"] = std::move(pictures);
  request.body = compact_json(body);
}

}  // namespace

OriginalRequest translate_chat(const OrderedJson& body, std::string_view model) {
  const ChatRequest chat = read_chat_request(body, {});
  refuse_unsupported(chat.generation, chat.num_top_logprobs);
  if (!chat.image_aspect_ratio.empty()) refuse("mm_processor_kwargs");
  OriginalPrompt prompt = render_original_prompt(chat, model);
  OriginalRequest request{.prompt = std::move(prompt.text)};
  if (prompt.stop) request.stop.push_back(*prompt.stop);
  add_fields(request, model, chat.generation, pictures_of(chat.images));
  return request;
}

OriginalRequest translate_completion(const OrderedJson& body, std::string_view model) {
  const CompletionRequest completion = read_completion_request(body, {});
  refuse_unsupported(completion.generation, completion.num_top_logprobs);
  const auto* prompt = std::get_if<std::string>(&completion.prompts.front());
  if (completion.prompts.size() != 1 || prompt == nullptr) {
    fail_field("prompt",
               "the worker of this model speaks the original's protocol, which takes one text");
  }
  if (std::cmp_not_equal(count_image_places(*prompt), completion.images.size())) {
    throw ApiError(400, "invalid_image",
                   fmt::format("images: {} pictures for {} `<image>` in the prompt",
                               completion.images.size(), count_image_places(*prompt)),
                   "images");
  }
  OriginalRequest request{.prompt = *prompt, .form = OriginalRequest::Form::kCompletion};
  add_fields(request, model, completion.generation, pictures_of(completion.images));
  return request;
}

}  // namespace llava::serve
