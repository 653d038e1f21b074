// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/embeddings/embedder.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

void normalize(std::vector<float>& vector) {
  double sum = 0;
  for (const float value : vector) sum += double{value} * value;
  const double length = std::sqrt(sum);
  if (length == 0) return;
  for (float& value : vector) value = static_cast<float>(value / length);
}

}  // namespace

std::vector<float> Embedder::embed(std::size_t index) {
  std::vector<float> vector = compute(request_.inputs.at(index), index);
  if (request_.is_normalized) normalize(vector);
  return vector;
}

std::vector<float> Embedder::compute(const EmbeddingInput& input, std::size_t index) {
  if (const auto* picture = std::get_if<std::size_t>(&input)) {
    return embed_picture(request_.images.at(*picture));
  }
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&input)) return embed_ids(*ids, index);
  return embed_ids(service_.pretrained().tokenizer->encode(std::get<std::string>(input), true),
                   index);
}

std::vector<float> Embedder::embed_picture(const ImageSource& source) {
  if (!service_.pretrained().has_vision()) {
    fail_field(source.param, "this model sees no pictures");
  }
  const engine::PreparedImage image = service_.pictures().prepare(source);
  num_tokens_ += image.layout.num_tokens;
  return service_.engine().embed_picture(image, request_.pooling);
}

std::vector<float> Embedder::embed_ids(std::vector<int32_t> ids, std::size_t index) {
  const int32_t num_ids = service_.pretrained().num_allowed_ids();
  for (const int32_t id : ids) {
    if (id < 0 || id >= num_ids)
      fail_field(fmt::format("input[{}]", index), "there is no token {}", id);
  }
  const auto max_tokens = static_cast<std::size_t>(service_.max_tokens());
  if (request_.is_truncated && ids.size() > max_tokens) ids.resize(max_tokens);
  if (ids.empty() || ids.size() > max_tokens) {
    throw ApiError(
        400, "context_length_exceeded",
        fmt::format("input[{}] has {} tokens, expected 1 to {}", index, ids.size(), max_tokens),
        fmt::format("input[{}]", index));
  }
  num_tokens_ += static_cast<int64_t>(ids.size());
  return service_.engine().embed_text(ids);
}

}  // namespace llava::serve
