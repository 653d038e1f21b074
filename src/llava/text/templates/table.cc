// SPDX-License-Identifier: Apache-2.0
#include "llava/text/templates/table.h"

#include <iterator>
#include <utility>

namespace llava::text::templates {

std::vector<ConversationTemplate> all() {
  std::vector<ConversationTemplate> table = vicuna();
  for (auto* group : {llama, chatml, gemma}) {
    std::vector<ConversationTemplate> more = group();
    table.insert(table.end(), std::make_move_iterator(more.begin()),
                 std::make_move_iterator(more.end()));
  }
  return table;
}

}  // namespace llava::text::templates
