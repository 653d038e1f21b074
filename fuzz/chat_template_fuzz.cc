// SPDX-License-Identifier: Apache-2.0
//
// Parses the bytes as a chat template and renders it over fixed messages under small limits.
#include <cstdint>
#include <string_view>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/text/chat_template.h"

namespace {

const llava::OrderedJson& messages() {
  static const llava::OrderedJson json = llava::OrderedJson::parse(R"([
    {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Wh\u00e4t?"}]},
    {"role": "assistant", "content": "A \"cat\".", "tool_calls": [
      {"id": "abcdef123", "function": {"name": "f", "arguments": {"x": 1, "y": 2.5, "z": null}}}]}])");
  return json;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  llava::text::ChatTemplateOptions options;
  options.add_generation_prompt = true;
  options.special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  options.tools = &messages();
  options.now = std::tm{};
  options.limits = {.max_steps = 50'000, .max_bytes = 4u << 20};
  try {
    llava::text::ChatTemplate::parse(source, "fuzz").render(messages(), options);
  } catch (const llava::Error&) {
  }
  return 0;
}
