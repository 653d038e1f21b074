// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/protocol/completion_request.h"

#include <utility>

#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

constexpr std::size_t kMaxPrompts = 256;

void read_prompts(FieldReader& reader, CompletionRequest& request) {
  const OrderedJson* prompt = reader.find("prompt");
  if (prompt == nullptr) throw ApiError(400, "missing_field", "prompt: is missing", "prompt");
  if (prompt->is_string()) {
    request.prompts.emplace_back(prompt->get<std::string>());
    return;
  }
  if (!prompt->is_array()) reader.wrong_type("prompt", "a text, ids, or a list of such");
  if (prompt->empty() || prompt->size() > kMaxPrompts * 1024) {
    fail_field("prompt", "{} items", prompt->size());
  }
  if (prompt->front().is_number()) {
    request.prompts.emplace_back(read_ids(*prompt, "prompt"));
    return;
  }
  if (prompt->size() > kMaxPrompts) {
    fail_field("prompt", "{} prompts, expected at most {}", prompt->size(), kMaxPrompts);
  }
  std::size_t index = 0;
  for (const OrderedJson& item : *prompt) {
    const std::string path = fmt::format("prompt[{}]", index++);
    if (item.is_string()) {
      request.prompts.emplace_back(item.get<std::string>());
    } else if (item.is_array()) {
      request.prompts.emplace_back(read_ids(item, path));
    } else {
      fail_field(path, "expected a text or ids, found {}", json_type_name(item));
    }
  }
}

void refuse_others(FieldReader& reader) {
  const bool has_echo = reader.get_bool("echo").value_or(false);
  const bool has_suffix = !reader.get_string("suffix").value_or("").empty();
  const auto best_of = reader.get_int("best_of", 1, INT32_MAX);
  if (!has_echo && !has_suffix && best_of.value_or(1) == 1) return;
  const std::string name = has_echo ? "echo" : has_suffix ? "suffix" : "best_of";
  throw ApiError(400, "unsupported_parameter", name + ": is not supported", name);
}

}  // namespace

CompletionRequest read_completion_request(const OrderedJson& body, const ChatLimits& limits) {
  FieldReader reader(body, "");
  CompletionRequest request;
  request.model = reader.get_string("model").value_or("");
  read_prompts(reader, request);
  refuse_others(reader);
  const auto images = reader.get_strings("images").value_or(std::vector<std::string>{});
  if (std::cmp_greater(images.size(), limits.max_images)) {
    throw ApiError(
        400, "too_many_images",
        fmt::format("At most {} image(s) may be provided in one request.", limits.max_images),
        "images");
  }
  for (std::size_t i = 0; i < images.size(); ++i) {
    request.images.push_back({.location = images[i], .param = fmt::format("images[{}]", i)});
  }
  const auto logprobs = reader.get_int("logprobs", 0, 5);
  if (logprobs) request.num_top_logprobs = static_cast<int32_t>(*logprobs);
  request.generation = read_generation_fields(reader, limits.generation);
  request.unknown_fields = reader.unknown();
  return request;
}

}  // namespace llava::serve
