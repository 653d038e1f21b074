// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/ollama/ollama_embed_request.h"

#include <string>
#include <utility>

#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

/// As many as OpenAI's API takes.
constexpr std::size_t kMaxInputs = 2048;

EmbeddingRequest begin_embedding(FieldReader& reader) {
  EmbeddingRequest request;
  const std::string name = reader.get_string("model").value_or("");
  if (name.empty()) throw ApiError(400, "missing_field", "model is required", "model");
  request.model = name.substr(0, name.find(':'));
  if (reader.has("dimensions")) {
    throw ApiError(400, "unsupported_parameter", "dimensions: these vectors have one length only",
                   "dimensions");
  }
  return request;
}

}  // namespace

EmbeddingRequest read_ollama_embed(const OrderedJson& body) {
  FieldReader reader(body, "");
  EmbeddingRequest request = begin_embedding(reader);
  request.is_truncated = reader.get_bool("truncate").value_or(true);
  const OrderedJson* input = reader.find("input");
  if (input == nullptr) throw ApiError(400, "missing_field", "input: is missing", "input");
  if (input->is_array() && input->size() > kMaxInputs) {
    fail_field("input", "has {} entries, expected at most {}", input->size(), kMaxInputs);
  }
  for (std::string& text : reader.get_strings("input").value_or(std::vector<std::string>{})) {
    request.inputs.emplace_back(std::move(text));
  }
  return request;
}

EmbeddingRequest read_ollama_embeddings(const OrderedJson& body) {
  FieldReader reader(body, "");
  EmbeddingRequest request = begin_embedding(reader);
  // What this route gave was never of length 1.
  request.is_normalized = false;
  request.is_truncated = true;
  std::string prompt = reader.get_string("prompt").value_or("");
  if (!prompt.empty()) request.inputs.emplace_back(std::move(prompt));
  return request;
}

}  // namespace llava::serve
