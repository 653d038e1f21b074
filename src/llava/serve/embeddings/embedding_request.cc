// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/embeddings/embedding_request.h"

#include <algorithm>
#include <utility>

#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"
#include "llava/serve/protocol/float_lists.h"

namespace llava::serve {
namespace {

/// As OpenAI allows.
constexpr std::size_t kMaxInputs = 2048;

/// {"text": ...}, {"image": address or base64}, or a part of a chat's message.
void add_object(const OrderedJson& value, const std::string& path, EmbeddingRequest& request) {
  FieldReader reader(value, path + ".");
  if (auto text = reader.get_string("text")) {
    request.inputs.emplace_back(*std::move(text));
    return;
  }
  ImageSource image;
  const OrderedJson* url = reader.find("image_url");
  if (url != nullptr && url->is_object()) {
    FieldReader inner(*url, reader.path_of("image_url."));
    image = {.location = inner.get_string("url").value_or(""), .param = inner.path_of("url")};
  } else if (url != nullptr) {
    image = {.location = reader.get_string("image_url").value_or(""),
             .param = reader.path_of("image_url")};
  } else if (reader.has("file_id")) {
    image = {.location = {},
             .param = reader.path_of("file_id"),
             .file_id = reader.get_string("file_id").value_or("")};
  } else {
    image = {.location = reader.get_string("image").value_or(""), .param = reader.path_of("image")};
  }
  if (image.location.empty() && image.file_id.empty()) {
    fail_field(path, "expected an object with text, image, image_url or file_id");
  }
  request.inputs.emplace_back(request.images.size());
  request.images.push_back(std::move(image));
}

void add_input(const OrderedJson& value, const std::string& path, EmbeddingRequest& request) {
  if (value.is_string()) {
    request.inputs.emplace_back(value.get<std::string>());
  } else if (value.is_array()) {
    request.inputs.emplace_back(read_ids(value, path));
  } else if (value.is_object()) {
    add_object(value, path, request);
  } else {
    fail_field(path, "expected a text, a list of token ids or an object, found {}",
               json_type_name(value));
  }
}

engine::PicturePooling read_pooling(const std::string& name) {
  if (name == "cls") return engine::PicturePooling::kClassToken;
  if (name == "mean") return engine::PicturePooling::kMean;
  if (name == "projected") return engine::PicturePooling::kProjected;
  fail_field("pooling", "expected cls, mean or projected, found '{}'", name);
}

}  // namespace

EmbeddingRequest read_embedding_request(const OrderedJson& body, const ChatLimits& limits) {
  FieldReader reader(body, "");
  EmbeddingRequest request;
  request.model = reader.get_string("model").value_or("");
  request.is_base64 = read_is_base64(reader);
  if (reader.has("dimensions")) {
    throw ApiError(400, "unsupported_parameter", "dimensions: these vectors have one length only",
                   "dimensions");
  }
  request.pooling = read_pooling(reader.get_string("pooling").value_or("projected"));
  request.is_normalized = reader.get_bool("normalize").value_or(true);
  const OrderedJson* input = reader.find("input");
  if (input == nullptr) throw ApiError(400, "missing_field", "input: is missing", "input");
  const bool is_list = input->is_array() && !input->empty() && !input->front().is_number();
  if (is_list) {
    if (input->size() > kMaxInputs) {
      fail_field("input", "has {} entries, expected at most {}", input->size(), kMaxInputs);
    }
    for (std::size_t i = 0; i < input->size(); ++i) {
      add_input(input->at(i), fmt::format("input[{}]", i), request);
    }
  } else {
    add_input(*input, "input", request);
  }
  if (std::cmp_greater(request.images.size(), limits.max_images)) {
    throw ApiError(
        400, "too_many_images",
        fmt::format("At most {} image(s) may be provided in one request.", limits.max_images),
        "input");
  }
  return request;
}

}  // namespace llava::serve
