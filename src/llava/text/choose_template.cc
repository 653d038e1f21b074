// SPDX-License-Identifier: Apache-2.0
#include "llava/text/choose_template.h"

#include "llava/core/error.h"

namespace llava::text {
namespace {

// Python's name.lower() for the letters that the rules look for.
std::string lower_name(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool has(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

bool needs_image_tags(std::string_view name) {
  return has(name, "mmtag") || (has(name, "plain") && !has(name, "finetune"));
}

}  // namespace

std::string model_name_from_path(std::string_view path) {
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return std::string(path);
  const std::string_view last = path.substr(slash + 1);
  if (!last.starts_with("checkpoint-")) return std::string(last);
  const std::string_view folder = path.substr(0, slash);
  const size_t before = folder.rfind('/');
  const std::string_view parent =
      before == std::string_view::npos ? folder : folder.substr(before + 1);
  return fmt::format("{}_{}", parent, last);
}

std::string template_for_program(std::string_view model_name) {
  const std::string name = lower_name(model_name);
  if (has(name, "llama-2")) return "llava_llama_2";
  if (has(name, "mistral")) return "mistral_instruct";
  if (has(name, "v1.6-34b")) return "chatml_direct";
  if (has(name, "v1")) return "llava_v1";
  if (has(name, "mpt")) return "mpt";
  return "llava_v0";
}

std::string template_for_web(std::string_view model_name) {
  const std::string name = lower_name(model_name);
  const auto missing = [&](std::string_view wanted) {
    fail(ErrorCode::kInvalidArgument,
         "model name '{}' asks for conversation template '{}', which the original does not have: "
         "name "
         "a template explicitly",
         model_name, wanted);
  };
  if (!has(name, "llava")) {
    if (has(name, "mpt")) missing("mpt_text");
    return has(name, "llama-2") ? "llama_2" : "vicuna_v1";
  }
  if (has(name, "llama-2")) return "llava_llama_2";
  if (has(name, "mistral") || has(name, "mixtral")) {
    if (has(name, "orca")) missing("mistral_orca");
    return has(name, "hermes") ? "chatml_direct" : "mistral_instruct";
  }
  if (has(name, "llava-v1.6-34b")) return "chatml_direct";
  if (has(name, "v1")) return needs_image_tags(name) ? "v1_mmtag" : "llava_v1";
  if (has(name, "mpt")) return "mpt";
  return needs_image_tags(name) ? "v0_mmtag" : "llava_v0";
}

std::string template_for_family(std::string_view model_name) {
  const std::string name = lower_name(model_name);
  if (has(name, "llama3") || has(name, "llama-3")) return "llava_llama_3";
  if (has(name, "qwen")) return "qwen_1_5";
  if (has(name, "gemma")) return "gemma_instruct";
  if (has(name, "34b")) return "chatml_direct";
  if (!has(name, "llava")) return template_for_web(model_name);
  if (has(name, "llama-2")) return "llava_llama_2";
  if (has(name, "mistral") || has(name, "mixtral")) {
    if (has(name, "orca")) return "mistral_orca";
    return has(name, "hermes") ? "mistral_direct" : "mistral_instruct";
  }
  if (has(name, "zephyr")) return "mistral_zephyr";
  if (has(name, "hermes")) return "mistral_direct";
  if (has(name, "v1")) return needs_image_tags(name) ? "v1_mmtag" : "llava_v1";
  if (has(name, "mpt")) return "mpt";
  return needs_image_tags(name) ? "v0_mmtag" : "llava_v0";
}

}  // namespace llava::text
