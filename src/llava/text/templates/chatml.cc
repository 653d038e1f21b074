// SPDX-License-Identifier: Apache-2.0
#include "llava/text/templates/table.h"

namespace llava::text::templates {
namespace {

// No newline after the separator: the MPT programs wrote ChatML this way.
ConversationTemplate mpt_style(std::vector<std::string> names, const std::string& system) {
  return {.names = std::move(names),
          .system = "<|im_start|>system\n" + system,
          .roles = {"<|im_start|>user\n", "<|im_start|>assistant\n"},
          .style = SeparatorStyle::kMpt,
          .sep = "<|im_end|>",
          .version = "mpt"};
}

ConversationTemplate qwen(std::vector<std::string> names, const std::string& system) {
  return {.names = std::move(names),
          .system = "<|im_start|>system\n" + system,
          .roles = {"<|im_start|>user", "<|im_start|>assistant"},
          .style = SeparatorStyle::kChatml,
          .sep = "<|im_end|>",
          .version = "qwen"};
}

}  // namespace

std::vector<ConversationTemplate> chatml() {
  ConversationTemplate zephyr = mpt_style({"mistral_zephyr"}, "");
  zephyr.system = "<|system|>\nYou are a helpful AI assistant.";
  zephyr.roles = {"<|user|>\n", "<|assistant|>\n"};
  zephyr.sep = "</s>";
  return {
      mpt_style({"chatml_direct", "mistral_direct"}, "Answer the questions."),
      mpt_style({"mpt"},
                "A conversation between a user and an LLM-based AI assistant. The assistant gives "
                "helpful and honest answers."),
      mpt_style(
          {"mistral_orca"},
          "You are MistralOrca, a large language model trained by Alignment Lab AI. Write out "
          "your reasoning step-by-step to be sure you get the right answers!"),
      zephyr,
      qwen({"qwen_1_5", "qwen_2"}, "You are a helpful assistant."),
      qwen({"qwen_2_5"}, "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
  };
}

}  // namespace llava::text::templates
