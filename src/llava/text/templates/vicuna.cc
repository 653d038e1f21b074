// SPDX-License-Identifier: Apache-2.0
#include "llava/text/templates/table.h"

namespace llava::text::templates {
namespace {

// The missing space between the last two sentences is published.
constexpr const char* kImageTags =
    "A chat between a curious user and an artificial intelligence assistant. The assistant is able "
    "to understand the visual content that the user provides, and assist the user with a variety "
    "of "
    "tasks using natural language.The visual content will be provided with the following format: "
    "<Image>visual content</Image>.";

constexpr const char* kExampleQuestion =
    "What are the key differences between renewable and non-renewable energy sources?";

constexpr const char* kExampleAnswer =
    "Renewable energy sources are those that can be replenished naturally in a relatively short "
    "amount of time, such as solar, wind, hydro, geothermal, and biomass. Non-renewable energy "
    "sources, on the other hand, are finite and will eventually be depleted, such as coal, oil, "
    "and "
    "natural gas. Here are some key differences between renewable and non-renewable energy "
    "sources:\n"
    "1. Availability: Renewable energy sources are virtually inexhaustible, while non-renewable "
    "energy sources are finite and will eventually run out.\n"
    "2. Environmental impact: Renewable energy sources have a much lower environmental impact than "
    "non-renewable sources, which can lead to air and water pollution, greenhouse gas emissions, "
    "and other negative effects.\n"
    "3. Cost: Renewable energy sources can be more expensive to initially set up, but they "
    "typically have lower operational costs than non-renewable sources.\n"
    "4. Reliability: Renewable energy sources are often more reliable and can be used in more "
    "remote locations than non-renewable sources.\n"
    "5. Flexibility: Renewable energy sources are often more flexible and can be adapted to "
    "different situations and needs, while non-renewable sources are more rigid and inflexible.\n"
    "6. Sustainability: Renewable energy sources are more sustainable over the long term, while "
    "non-renewable sources are not, and their depletion can lead to economic and social "
    "instability.\n";

}  // namespace

std::vector<ConversationTemplate> vicuna() {
  return {
      {.names = {"default", "v0"},
       .system = kCuriousHuman,
       .roles = {"Human", "Assistant"},
       .style = SeparatorStyle::kSingle,
       .sep = "###",
       .examples = {{"Human", kExampleQuestion}, {"Assistant", kExampleAnswer}}},
      {.names = {"v1", "vicuna_v1"},
       .system = kCuriousUser,
       .roles = {"USER", "ASSISTANT"},
       .style = SeparatorStyle::kTwo,
       .sep = " ",
       .sep2 = "</s>",
       .version = "v1"},
      {.names = {"plain", "v0_plain"}, .style = SeparatorStyle::kPlain, .sep = "\n"},
      {.names = {"llava_v0"},
       .system = kCuriousHuman,
       .roles = {"Human", "Assistant"},
       .style = SeparatorStyle::kSingle,
       .sep = "###"},
      {.names = {"v0_mmtag", "llava_v0_mmtag"},
       .system = kImageTags,
       .roles = {"Human", "Assistant"},
       .style = SeparatorStyle::kSingle,
       .sep = "###",
       .version = "v0_mmtag"},
      {.names = {"llava_v1"},
       .system = kCuriousHuman,
       .roles = {"USER", "ASSISTANT"},
       .style = SeparatorStyle::kTwo,
       .sep = " ",
       .sep2 = "</s>",
       .version = "v1"},
      {.names = {"v1_mmtag", "llava_v1_mmtag"},
       .system = kImageTags,
       .roles = {"USER", "ASSISTANT"},
       .style = SeparatorStyle::kTwo,
       .sep = " ",
       .sep2 = "</s>",
       .version = "v1_mmtag"},
  };
}

}  // namespace llava::text::templates
