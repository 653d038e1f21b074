// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/html_text.h"

#include "llava/text/utf8.h"

namespace llava::train_report {
namespace {

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text::replace_invalid_utf8(text)) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if (is_control(c)) {
          out += text::kReplacementCharacter;
        } else {
          out += c;
        }
    }
  }
  return out;
}

}  // namespace llava::train_report
