// SPDX-License-Identifier: Apache-2.0
//
// Any text as the JSON files of a checkpoint: config.json in every layout, generation_config.json,
// adapter_config.json.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "attempt.h"
#include "llava/checkpoint/adapter_config.h"
#include "llava/checkpoint/config_json.h"
#include "llava/checkpoint/generation_config.h"
#include "llava/core/json.h"
#include "llava/core/log.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace llava::checkpoint;
  [[maybe_unused]] static const bool is_quiet = (llava::configure_log("off", false), true);
  attempt([&] {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const llava::Json json = llava::parse_json(text, "fuzz");
    for (const Layout layout : {Layout::kOriginal, Layout::kHuggingFace, Layout::kLora,
                                Layout::kProjectorOnly, Layout::kLanguageModel}) {
      attempt([&] {
        CheckpointDescription description = read_config(json, "fuzz", layout);
        if (!description.is_vision_known) attach_vision(description, {});
      });
    }
    attempt([&] { read_generation_defaults(json, "fuzz"); });
    attempt([&] {
      const AdapterConfig adapter = read_adapter_config(json, "fuzz");
      adapter.scale_of("model.layers.0.self_attn.q_proj");
    });
  });
  return 0;
}
