// SPDX-License-Identifier: Apache-2.0
//
// The named conversation templates of the LLaVA family: how a dialogue becomes one prompt string.
// A checkpoint's own Jinja template is chat_template.h; ids are made in prompt.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llava::text {

/// What stands for one picture in prompt text.
inline constexpr std::string_view kImageToken = "<image>";

/// How turns are joined; the names are those of the published programs.
enum class SeparatorStyle : uint8_t {
  kSingle,
  kTwo,
  kMpt,
  kLlama2,
  kPlain,
  kChatml,
  kLlama3,
  kGemma,
};

/// One turn. Absent and empty text both mean an open turn, to be completed by the model.
struct Message {
  std::string role;
  std::optional<std::string> text;
  /// Pictures attached as objects (the published tuple form). 0 for plain text, which then carries
  /// its own `<image>`.
  int32_t num_images = 0;
};

/// One named template.
struct ConversationTemplate {
  std::vector<std::string> names;
  std::string system;
  std::array<std::string, 2> roles;
  SeparatorStyle style = SeparatorStyle::kSingle;
  std::string sep;
  std::optional<std::string> sep2;
  std::string version = "Unknown";
  /// Built-in example turns that stand before every dialogue (the original's `offset` of them).
  std::vector<Message> examples = {};

  const std::string& name() const { return names.front(); }
};

/// Every template, in the order of the published table.   Threads: safe.
std::span<const ConversationTemplate> conversation_templates();

/// The template of one of its names.
///
/// Throws: Error(kInvalidArgument) listing the nearest and all names.   Threads: safe.
const ConversationTemplate& find_conversation_template(std::string_view name);

/// The prompt of a dialogue, exactly as the published programs write it, quirks included.
///
/// Throws: Error(kInvalidArgument) where the original stops on an assertion or type error, with its
/// text.   Threads: safe.
/// Source: LLaVA 1.2.2 `Conversation.get_prompt`; the family's further styles.
std::string render_conversation(const ConversationTemplate& conversation,
                                std::span<const Message> messages);

/// The template's own role for "user", "human", "assistant", "gpt" in any case; other names,
/// and the template's roles themselves, are returned as they are.
std::string resolve_role(const ConversationTemplate& conversation, std::string_view role);

/// The text that ends an answer under this template; absent when there is none to look for.
/// Generation also ends at the tokenizer's and the generation config's end ids.
std::optional<std::string> stop_string(const ConversationTemplate& conversation);

}  // namespace llava::text
