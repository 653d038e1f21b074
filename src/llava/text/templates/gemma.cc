// SPDX-License-Identifier: Apache-2.0
#include "llava/text/templates/table.h"

namespace llava::text::templates {

std::vector<ConversationTemplate> gemma() {
  return {{.names = {"gemma_instruct"},
           .roles = {"<start_of_turn>user\n", "<start_of_turn>model\n"},
           .style = SeparatorStyle::kGemma,
           .sep = "<end_of_turn>\n",
           .version = "gemma"}};
}

}  // namespace llava::text::templates
