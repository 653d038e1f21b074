// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/checkpoint_files.h"

#include <array>
#include <string_view>

#include "llava/checkpoint/generation_config.h"
#include "llava/core/file.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxFileBytes = 256u << 20;

constexpr std::array kTokenizerFiles = {"tokenizer.model",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "chat_template.json",
                                        "chat_template.jinja"};
constexpr std::array kProcessorFiles = {"preprocessor_config.json", "processor_config.json"};

}  // namespace

void copy_tokenizer_files(const fs::path& from, const fs::path& to) {
  for (const char* name : kTokenizerFiles) copy_file_if_any(from, to, name);
}

void copy_processor_files(const fs::path& from, const fs::path& to) {
  for (const char* name : kProcessorFiles) copy_file_if_any(from, to, name);
}

void copy_file_if_any(const fs::path& from, const fs::path& to, const std::string& name) {
  if (!fs::is_regular_file(from / name)) return;
  write_file_atomically(to / name, read_file(from / name, kMaxFileBytes));
}

OrderedJson read_ordered_file(const fs::path& file) {
  return parse_ordered_json(read_file(file, kMaxFileBytes), file.string());
}

void write_ordered_file(const fs::path& file, const OrderedJson& json) {
  constexpr int kIndent = 2;
  write_file_atomically(file, to_text(json, kIndent) + "\n");
}

void write_generation_config(const fs::path& from, const fs::path& to, const OrderedJson& config) {
  constexpr const char* kName = "generation_config.json";
  OrderedJson json;
  if (fs::is_regular_file(from / kName)) {
    json = read_ordered_file(from / kName);
  } else {
    json["_from_model_config"] = true;
    for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
      if (config.contains(key)) json[key] = config[key];
    }
  }
  write_ordered_file(to / kName, checkpoint::consistent_generation_config(std::move(json)));
}

}  // namespace llava::engine
