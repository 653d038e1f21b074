// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "llava/checkpoint/gguf_language_model.h"

namespace llava::checkpoint {
namespace {

std::optional<int32_t> read_id(const GgufFile& file, const std::string& key, std::size_t size) {
  const auto id = file.get_int(key);
  // 2^32 - 1 and -1 are how converters write "none".
  if (!id || *id == -1 || *id == 0xFFFFFFFF) return std::nullopt;
  if (*id < 0 || static_cast<uint64_t>(*id) >= size) {
    fail(ErrorCode::kBadFormat, "'{}': metadata key '{}' is {}, expected an id below {}",
         file.name(), key, *id, size);
  }
  return static_cast<int32_t>(*id);
}

}  // namespace

GgufVocabularyData read_gguf_vocabulary(const GgufFile& file) {
  GgufVocabularyData v;
  const std::string prefix = "tokenizer.ggml.";
  auto tokens = file.get_string_list(prefix + "tokens");
  if (!tokens) {
    fail(ErrorCode::kNotFound, "'{}' has no vocabulary (metadata key 'tokenizer.ggml.tokens')",
         file.name());
  }
  v.tokens = std::move(*tokens);
  v.model = file.get_string(prefix + "model").value_or("llama");
  v.pre = file.get_string(prefix + "pre").value_or("");
  v.scores = file.get_float_list(prefix + "scores").value_or(std::vector<float>());
  v.merges = file.get_string_list(prefix + "merges").value_or(std::vector<std::string>());
  if (const auto types = file.get_int_list(prefix + "token_type")) {
    for (const int64_t type : *types) {
      v.types.push_back(type >= 0 && type <= 6 ? static_cast<int32_t>(type) : 0);
    }
  }
  const auto check_count = [&](std::string_view what, std::size_t count) {
    if (count != 0 && count != v.tokens.size()) {
      fail(ErrorCode::kBadFormat, "'{}': {}{} has {} entries, expected {} as for its tokens",
           file.name(), prefix, what, count, v.tokens.size());
    }
  };
  check_count("scores", v.scores.size());
  check_count("token_type", v.types.size());
  v.bos_id = read_id(file, prefix + "bos_token_id", v.tokens.size());
  v.eos_id = read_id(file, prefix + "eos_token_id", v.tokens.size());
  v.unk_id = read_id(file, prefix + "unknown_token_id", v.tokens.size());
  v.pad_id = read_id(file, prefix + "padding_token_id", v.tokens.size());
  v.add_bos = file.get_bool(prefix + "add_bos_token");
  v.add_eos = file.get_bool(prefix + "add_eos_token");
  v.add_space_prefix = file.get_bool(prefix + "add_space_prefix");
  v.chat_template = file.get_string("tokenizer.chat_template").value_or("");
  return v;
}

}  // namespace llava::checkpoint
