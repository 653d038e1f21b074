// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template_source.h"

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"

namespace llava::text {
namespace {

constexpr uint64_t kMaxTemplateBytes = 1u << 20;
// tokenizer_config.json lists every added token.
constexpr uint64_t kMaxConfigBytes = 64u << 20;

// The text of a `chat_template` value.
std::string template_text(const Json& value, const JsonObject& file) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) file.wrong_type("chat_template", "a text or a list of named templates");
  std::string names;
  for (const Json& entry : value) {
    const JsonObject named(entry, file.source() + ": chat_template");
    const std::optional<std::string> name = named.get_string("name");
    const std::optional<std::string> text = named.get_string("template");
    if (!name || !text) {
      fail(ErrorCode::kBadFormat, "{}: each entry of 'chat_template' needs 'name' and 'template'",
           file.source());
    }
    if (*name == "default") return *text;
    names += (names.empty() ? "" : ", ") + *name;
  }
  fail(ErrorCode::kBadFormat, "{}: 'chat_template' has no template named 'default', found: {}",
       file.source(), names);
}

// A template of nothing would make a prompt of nothing from every conversation.
ChatTemplate parse_template(const std::string& text, const std::filesystem::path& path) {
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    fail(ErrorCode::kBadFormat,
         "the chat template in '{}' is empty: get the file again, or remove it and choose a "
         "template with --conv-mode",
         path.string());
  }
  return ChatTemplate::parse(text, path.string());
}

std::optional<ChatTemplate> from_json(const std::filesystem::path& path, uint64_t max_bytes) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const Json json = read_json_file(path, max_bytes);
  const JsonObject file(json, path.string());
  const Json* value = file.find("chat_template");
  if (value == nullptr) return std::nullopt;
  return parse_template(template_text(*value, file), path);
}

}  // namespace

std::optional<ChatTemplate> find_chat_template(const std::filesystem::path& folder) {
  const std::filesystem::path own = folder / "chat_template.jinja";
  if (std::filesystem::exists(own)) {
    return parse_template(read_file(own, kMaxTemplateBytes), own);
  }
  if (auto found = from_json(folder / "chat_template.json", 2 * kMaxTemplateBytes)) return found;
  return from_json(folder / "tokenizer_config.json", kMaxConfigBytes);
}

}  // namespace llava::text
