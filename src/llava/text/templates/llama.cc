// SPDX-License-Identifier: Apache-2.0
#include "llava/text/templates/table.h"

namespace llava::text::templates {
namespace {

// The double space after "safe." is published.
constexpr const char* kLlama2System =
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, "
    "while being safe.  Your answers should not include any harmful, unethical, racist, sexist, "
    "toxic, dangerous, or illegal content. Please ensure that your responses are socially unbiased "
    "and positive in nature.\n\nIf a question does not make any sense, or is not factually "
    "coherent, "
    "explain why instead of answering something not correct. If you don't know the answer to a "
    "question, please don't share false information.";

constexpr const char* kVisualQuestions =
    "Answer the questions about the visual content that the user provides.";
constexpr const char* kVisualQuestionsTags =
    "Answer the questions about the visual content that the user provides.The visual content will "
    "be "
    "provided with the following format: <Image>visual content</Image>.";

ConversationTemplate llama_2(std::vector<std::string> names, const char* system) {
  return {.names = std::move(names),
          .system = system,
          .roles = {"USER", "ASSISTANT"},
          .style = SeparatorStyle::kLlama2,
          .sep = "<s>",
          .sep2 = "</s>",
          .version = "llama_v2"};
}

}  // namespace

std::vector<ConversationTemplate> llama() {
  ConversationTemplate mistral = llama_2({"mistral_instruct", "llava_mistral_instruct"}, "");
  mistral.sep = "";
  ConversationTemplate tags = llama_2({"llava_llama_2_mmtag"}, kVisualQuestionsTags);
  tags.version = "llama_v2_mmtag";
  const ConversationTemplate llama_3 = {.names = {"llava_llama_3"},
                                        .system = kLanguageAndVision,
                                        .roles = {"user", "assistant"},
                                        .style = SeparatorStyle::kLlama3,
                                        .sep = "<|eot_id|>",
                                        .version = "llama_v3"};
  return {llama_2({"llama_2"}, kLlama2System),
          llama_2({"llava_llama_2"}, kLanguageAndVision),
          llama_2({"llava_llama_2_simple"}, kVisualQuestions),
          tags,
          mistral,
          llama_3};
}

}  // namespace llava::text::templates
