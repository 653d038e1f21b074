// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a GGUF file: read or refused; then its tensors, its vocabulary and its language
// model.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "attempt.h"
#include "llava/checkpoint/gguf_language_model.h"

namespace {

void load_some(const llava::checkpoint::TensorSource& source) {
  int budget = 100;
  for (const auto& [name, info] : source.tensors()) {
    if (budget-- == 0) break;
    source.load(name);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace llava::checkpoint;
  attempt([&] {
    const auto file = std::make_shared<const GgufFile>(
        FileBytes{"fuzz", std::as_bytes(std::span(data, size)), nullptr});
    load_some(*file);
    for (const std::string& key : file->keys()) {
      attempt([&] { file->get_int(key); });
      attempt([&] { file->get_number(key); });
      attempt([&] { file->get_string(key); });
      attempt([&] { file->get_int_list(key); });
      attempt([&] { file->get_float_list(key); });
      attempt([&] { file->get_string_list(key); });
    }
    attempt([&] { read_gguf_vocabulary(*file); });
    attempt([&] { load_some(*gguf_language_model(file)); });
  });
  return 0;
}
