// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/sglang/generate_request.h"

#include <algorithm>
#include <utility>

#include "llava/serve/protocol/api_error.h"
#include "llava/text/conversation.h"

namespace llava::serve {
namespace {

using text::grammar::OutputFormat;

constexpr int32_t kDefaultNewTokens = 128;

GenerationFields read_sampling(FieldReader& reader, const ChatLimits& limits) {
  GenerationFields fields;
  fields.max_tokens = kDefaultNewTokens;
  fields.is_streamed = reader.get_bool("stream").value_or(false);
  const OrderedJson* member = reader.find("sampling_params");
  if (member == nullptr) return fields;
  FieldReader sampling(*member, "sampling_params.");
  const auto number = [&](const char* name, double low, double high) -> std::optional<float> {
    const auto value = sampling.get_number(name, low, high);
    return value ? std::optional(static_cast<float>(*value)) : std::nullopt;
  };
  const auto count = [&](const char* name, int64_t low, int64_t high) -> std::optional<int32_t> {
    const auto value = sampling.get_int(name, low, high);
    return value ? std::optional(static_cast<int32_t>(*value)) : std::nullopt;
  };
  if (const auto value = count("max_new_tokens", 0, INT32_MAX)) fields.max_tokens = *value;
  fields.min_tokens = count("min_new_tokens", 0, INT32_MAX).value_or(0);
  fields.temperature = number("temperature", 0, 100);
  fields.top_p = number("top_p", 0, 1);
  fields.top_k = count("top_k", -1, INT32_MAX);
  fields.min_p = number("min_p", 0, 1);
  fields.repetition_penalty = number("repetition_penalty", 0.01, 100);
  fields.presence_penalty = number("presence_penalty", -2, 2).value_or(0);
  fields.frequency_penalty = number("frequency_penalty", -2, 2).value_or(0);
  fields.stop = sampling.get_strings("stop").value_or(std::vector<std::string>{});
  std::erase(fields.stop, "");
  fields.stop_token_ids = sampling.get_ids("stop_token_ids").value_or(std::vector<int32_t>{});
  fields.num_choices = count("n", 1, limits.generation.max_choices).value_or(1);
  fields.ignore_eos = sampling.get_bool("ignore_eos").value_or(false);
  fields.skips_special_tokens = sampling.get_bool("skip_special_tokens").value_or(true);
  fields.includes_stop_string = sampling.get_bool("no_stop_trim").value_or(false);
  static constexpr std::pair<const char*, OutputFormat::Kind> kFormats[] = {
      {"json_schema", OutputFormat::Kind::kJsonSchema},
      {"regex", OutputFormat::Kind::kRegex},
      {"ebnf", OutputFormat::Kind::kGbnf}};
  for (const auto& [name, kind] : kFormats) {
    if (auto text = sampling.get_string(name)) {
      fields.format =
          OutputFormat{.kind = kind, .text = std::move(*text), .choices = {}, .is_strict = true};
    }
  }
  return fields;
}

std::vector<ImageSource> read_images(FieldReader& reader, const ChatLimits& limits) {
  std::vector<ImageSource> images;
  for (std::string& image : reader.get_strings("image_data").value_or(std::vector<std::string>{})) {
    images.push_back(
        {.location = std::move(image), .param = fmt::format("image_data[{}]", images.size())});
  }
  if (std::cmp_greater(images.size(), limits.max_images)) {
    throw ApiError(
        400, "too_many_images",
        fmt::format("At most {} image(s) may be provided in one request.", limits.max_images),
        "image_data");
  }
  return images;
}

std::size_t count_places(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = text.find(text::kImageToken); at != std::string_view::npos;
       at = text.find(text::kImageToken, at + 1)) {
    ++count;
  }
  return count;
}

}  // namespace

GenerateRequest read_generate_request(const OrderedJson& body, const ChatLimits& limits) {
  FieldReader reader(body, "");
  GenerateRequest request;
  CompletionRequest& completion = request.completion;
  const OrderedJson* written = reader.find("text");
  const OrderedJson* ids = reader.find("input_ids");
  if ((written != nullptr) == (ids != nullptr)) {
    throw ApiError(400, "missing_field", "text: either text or input_ids has to be given", "text");
  }
  OrderedJson plain;
  plain["prompt"] = written != nullptr ? *written : *ids;
  request.is_list = written != nullptr
                        ? written->is_array()
                        : ids->is_array() && !ids->empty() && ids->front().is_array();
  completion = read_completion_request(plain, limits);
  completion.images = read_images(reader, limits);
  completion.generation = read_sampling(reader, limits);
  request.id = reader.get_string("rid").value_or("");
  request.has_logprobs = reader.get_bool("return_logprob").value_or(false);
  if (request.has_logprobs) {
    completion.num_top_logprobs =
        static_cast<int32_t>(reader.get_int("top_logprobs_num", 0, 20).value_or(0));
  }
  if (completion.generation.max_tokens == 0) {
    request.has_no_answer = true;
    // The engine computes a prompt by drawing what follows; nobody sees it.
    completion.generation.max_tokens = 1;
    completion.generation.num_choices = 1;
    completion.generation.min_tokens = 0;
  }
  const auto start = reader.get_int("logprob_start_len", -1, INT32_MAX).value_or(-1);
  if (start >= 0 && request.has_logprobs && !request.has_no_answer) {
    throw ApiError(400, "unsupported_parameter",
                   "logprob_start_len: a prompt's log-probabilities are there with max_new_tokens "
                   "0 only",
                   "logprob_start_len");
  }
  request.logprob_start = static_cast<int32_t>(std::max<int64_t>(start, 0));
  for (auto& prompt : completion.prompts) {
    auto* text = std::get_if<std::string>(&prompt);
    if (text == nullptr) continue;
    const std::size_t num_places = count_places(*text);
    std::string front;
    for (std::size_t i = num_places; i < completion.images.size(); ++i) {
      front += std::string(text::kImageToken) + "\n";
    }
    *text = front + *text;
  }
  return request;
}

}  // namespace llava::serve
