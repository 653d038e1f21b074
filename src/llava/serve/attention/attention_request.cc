// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/attention/attention_request.h"

#include <limits>
#include <utility>

#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"
#include "llava/serve/protocol/float_lists.h"

namespace llava::serve {
namespace {

/// The answer has to be there and to be one: a question would be continued as if it were.
void check_ends_with_answer(const OrderedJson& body) {
  const auto messages = body.find("messages");
  if (messages == body.end() || !messages->is_array() || messages->empty()) return;
  const OrderedJson& last = messages->back();
  if (last.is_object()) {
    const auto role = last.find("role");
    const bool is_text = role != last.end() && role->is_string();
    if (is_text && role->get_ref<const std::string&>() == "assistant") return;
  }
  fail_field("messages", "the last message has to be the assistant's: the answer to look for");
}

/// A number of a range, or -1 for what is none.
int32_t read_bound(const OrderedJson& value) {
  if (!value.is_number_integer()) return -1;
  const auto number = value.get<int64_t>();
  const bool is_one = number >= 0 && number <= std::numeric_limits<int32_t>::max();
  return is_one ? static_cast<int32_t>(number) : -1;
}

std::pair<int32_t, int32_t> read_range(const OrderedJson& value) {
  const bool is_pair = value.is_array() && value.size() == 2;
  const int32_t begin = is_pair ? read_bound(value[0]) : -1;
  const int32_t end = is_pair ? read_bound(value[1]) : -1;
  if (begin >= 0 && end > begin) return {begin, end};
  fail_field("tokens", "expected [begin, end] with 0 <= begin < end, found {}",
             value.dump(-1, ' ', /*ensure_ascii=*/true, OrderedJson::error_handler_t::replace)
                 .substr(0, 64));
}

/// What of the settings of an answer means something where none is generated.
GenerationFields without_answer(GenerationFields fields) {
  GenerationFields rest;
  rest.cache_salt = std::move(fields.cache_salt);
  rest.priority = fields.priority;
  return rest;
}

}  // namespace

AttentionRequest read_attention_request(OrderedJson body, const ChatLimits& limits) {
  AttentionRequest request;
  check_ends_with_answer(body);
  if (body.is_object()) body["continue_final_message"] = true;
  request.chat = read_chat_request(body, limits);
  if (request.chat.images.empty()) {
    fail_field("messages", "no message shows a picture: there is nothing to look at");
  }
  request.chat.generation = without_answer(std::move(request.chat.generation));
  request.chat.num_top_logprobs = -1;
  std::erase_if(request.chat.unknown_fields, [](const std::string& name) {
    return name == "layer" || name == "tokens" || name == "encoding_format";
  });
  FieldReader reader(body, "");
  // How many layers there are is the engine's to say.
  if (const auto layer = reader.get_int("layer", 0, std::numeric_limits<int32_t>::max())) {
    request.layer = static_cast<int32_t>(*layer);
  }
  if (const OrderedJson* tokens = reader.find("tokens")) request.tokens = read_range(*tokens);
  request.is_base64 = read_is_base64(reader);
  return request;
}

}  // namespace llava::serve
