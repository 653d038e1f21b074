// SPDX-License-Identifier: Apache-2.0
//
// A checkpoint's own chat template: a Jinja template that turns messages into a prompt. The subset
// renders the published templates of the LLaVA family and of the language models below them; what
// it cannot render is an error that names the construct and its line, never a wrong prompt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace llava::text {

namespace jinja {
struct Program;
}

/// Bounds on one rendering; templates are input from outside.
struct ChatTemplateLimits {
  int64_t max_steps = 5'000'000;
  /// Of all text and containers made on the way, the prompt included.
  size_t max_bytes = 64u << 20;
};

struct ChatTemplateOptions {
  /// Begin the answer, for the model to complete.
  bool add_generation_prompt = false;
  /// "bos_token", "eos_token", ... with their text; those that are not set are left out.
  std::map<std::string, std::string> special_tokens = {};
  /// Definitions of tools, in their order; null for none. Must outlive the call.
  const nlohmann::ordered_json* tools = nullptr;
  /// An object of further variables; they win over all others. Must outlive the call.
  const nlohmann::ordered_json* variables = nullptr;
  /// What strftime_now() formats; absent: the local time.
  std::optional<std::tm> now = std::nullopt;
  ChatTemplateLimits limits = {};
};

/// A message in the simple form that the programs use: a role, a text, pictures in front of it.
struct ChatMessage {
  std::string role;
  std::string text;
  int32_t num_images = 0;
};

/// A parsed template.
///
/// Threads: const, safe to share.
/// Source: Jinja 3.1 as transformers 4.57 renders chat templates (trim_blocks, lstrip_blocks,
/// immutable sandbox, loop controls, tojson without HTML escapes).
class ChatTemplate {
 public:
  /// Parses a template. `label` names it in messages, usually its path.
  ///
  /// Throws: Error(kBadFormat) for what is no template, and beyond 1 MiB or the nesting limit;
  /// Error(kUnsupported) for a tag or form that is not supported.
  static ChatTemplate parse(std::string_view source, std::string_view label);

  /// The prompt of these messages: a list of objects with `role` and `content`, which is a text or
  /// a list of parts ({"type": "image"}, {"type": "text", "text": ...}).
  ///
  /// Throws: Error(kInvalidArgument) with the template's own text where it raises one, and where
  /// the published renderer stops on an error; Error(kUnsupported) for what is not supported;
  /// Error(kBadFormat) beyond the limits.
  std::string render(const nlohmann::ordered_json& messages,
                     const ChatTemplateOptions& options = {}) const;

  /// The prompt of messages in the simple form: as lists of parts, pictures first, if the template
  /// goes over a content's parts, else as texts with one `<image>` and a newline per picture in
  /// front, as the original's programs write them.
  ///
  /// Throws: as render().
  std::string render(std::span<const ChatMessage> messages,
                     const ChatTemplateOptions& options = {}) const;

  /// True if the template goes over the parts of a content.
  bool takes_parts() const;
  const std::string& source() const;

 private:
  explicit ChatTemplate(std::shared_ptr<const jinja::Program> program);

  std::shared_ptr<const jinja::Program> program_;
};

}  // namespace llava::text
