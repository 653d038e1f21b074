// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/openai/chunk_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace llava::serve {
namespace {

/// Room for the constant parts behind the head.
constexpr std::size_t kRoom = 128;

void append_number(std::string& out, int32_t number) {
  const fmt::format_int digits(number);
  out.append(digits.data(), digits.size());
}

/// How JSON writes an ASCII character within a string; nothing: as it is.
constexpr std::string_view escape_of(char c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return {};
  }
}

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  // Damaged characters and Unicode's line ends are the library's to see.
  if (!is_ascii(text)) {
    out += to_text(OrderedJson(std::string(text)));
    return;
  }
  static constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    if (const std::string_view escape = escape_of(c); !escape.empty()) {
      out += escape;
    } else if (c < 0x20) {
      out += "\\u00";
      out += kHex[static_cast<std::size_t>(c) >> 4];
      out += kHex[static_cast<std::size_t>(c) & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

ChunkText::ChunkText(const AnswerHead& head, std::string_view object) {
  head_ = "data: " + to_text(head_json(head, object));
  head_.back() = ',';
  head_ += R"("choices":[{"index":)";
}

std::string ChunkText::chat_piece(int32_t choice, std::string_view content,
                                  std::string_view logprobs, std::string_view end) const {
  std::string out;
  out.reserve(head_.size() + content.size() + logprobs.size() + end.size() + kRoom);
  out += head_;
  append_number(out, choice);
  out += R"(,"delta":{"content":)";
  append_json_string(out, content);
  out += R"(},"logprobs":)";
  out += logprobs;
  out += R"(,"finish_reason":null}])";
  out += end;
  out += "}\n\n";
  return out;
}

std::string ChunkText::completion_piece(int32_t choice, std::string_view text,
                                        std::string_view logprobs, std::string_view end) const {
  std::string out;
  out.reserve(head_.size() + text.size() + logprobs.size() + end.size() + kRoom);
  out += head_;
  append_number(out, choice);
  out += R"(,"text":)";
  append_json_string(out, text);
  out += R"(,"logprobs":)";
  out += logprobs;
  out += R"(,"finish_reason":null}])";
  out += end;
  out += "}\n\n";
  return out;
}

}  // namespace llava::serve
