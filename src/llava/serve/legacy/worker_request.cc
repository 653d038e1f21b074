// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/legacy/worker_request.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"
#include "llava/text/conversation.h"

namespace llava::serve {
namespace {

std::optional<double> parse_number(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

double lenient_number(FieldReader& reader, std::string_view name, double fallback) {
  const OrderedJson* value = reader.find(name);
  if (value == nullptr) return fallback;
  const auto number = value->is_number()   ? std::optional(value->get<double>())
                      : value->is_string() ? parse_number(value->get<std::string>())
                                           : std::nullopt;
  if (!number || !std::isfinite(*number)) reader.wrong_type(name, "a number");
  return *number;
}

}  // namespace

WorkerRequest read_worker_request(std::string_view body) {
  const OrderedJson json = parse_body(body);
  FieldReader reader(json, "");
  WorkerRequest request;
  const auto prompt = reader.get_string("prompt");
  if (!prompt) throw ApiError(400, "missing_field", "prompt: is missing", "prompt");
  request.prompt = *prompt;
  request.images = reader.get_strings("images").value_or(std::vector<std::string>{});
  request.temperature = lenient_number(reader, "temperature", 1.0);
  request.top_p = std::clamp(lenient_number(reader, "top_p", 1.0), 0.0, 1.0);
  request.max_new_tokens =
      static_cast<int32_t>(std::clamp(lenient_number(reader, "max_new_tokens", 256), 0.0, 1e9));
  request.stop = reader.get_strings("stop").value_or(std::vector<std::string>{});
  std::erase(request.stop, "");
  const OrderedJson* extended = reader.find("extended");
  request.is_extended = extended != nullptr && *extended == true;
  return request;
}

int64_t count_image_places(std::string_view prompt) {
  int64_t count = 0;
  for (std::size_t at = prompt.find(text::kImageToken); at != std::string_view::npos;
       at = prompt.find(text::kImageToken, at + text::kImageToken.size())) {
    ++count;
  }
  return count;
}

}  // namespace llava::serve
