// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/legacy/wire_json.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <string_view>

#include "llava/core/error.h"
#include "llava/text/chat_template/text_form.h"
#include "llava/text/utf8.h"

namespace llava::serve {
namespace {

// Characters that Python's encoder copies; DEL is not among them.
bool is_copied(char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; }

void append_unit(std::string& out, uint32_t unit) {
  fmt::format_to(std::back_inserter(out), "\\u{:04x}", unit);
}

void append_escape(std::string& out, char32_t code_point) {
  switch (code_point) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  if (code_point < 0x10000) {
    append_unit(out, code_point);
    return;
  }
  append_unit(out, 0xD800 + ((code_point - 0x10000) >> 10));
  append_unit(out, 0xDC00 + ((code_point - 0x10000) & 0x3FF));
}

// Records repeat all text so far, so that long runs of ASCII are what matters.
void append_string(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_copied(text[end])) ++end;
    out += text.substr(at, end - at);
    at = end;
    if (at == text.size()) break;
    const text::Utf8Char c = text::decode_utf8(text, at);  // U+FFFD for what is invalid
    append_escape(out, c.code_point);
    at += c.num_bytes;
  }
  out += '"';
}

void append_value(std::string& out, const OrderedJson& value) {
  std::string_view separator;
  switch (value.type()) {
    case OrderedJson::value_t::object:
      out += '{';
      for (const auto& [key, member] : value.items()) {
        out += separator;
        append_string(out, key);
        out += ": ";
        append_value(out, member);
        separator = ", ";
      }
      out += '}';
      return;
    case OrderedJson::value_t::array:
      out += '[';
      for (const OrderedJson& item : value) {
        out += separator;
        append_value(out, item);
        separator = ", ";
      }
      out += ']';
      return;
    case OrderedJson::value_t::string:
      append_string(out, value.get_ref<const std::string&>());
      return;
    case OrderedJson::value_t::number_float: {
      const double number = value.get<double>();
      out += std::isfinite(number) ? text::jinja::float_repr(number) : "null";
      return;
    }
    case OrderedJson::value_t::null:
    case OrderedJson::value_t::boolean:
    case OrderedJson::value_t::number_integer:
    case OrderedJson::value_t::number_unsigned:
      out += value.dump();
      return;
    case OrderedJson::value_t::binary:
    case OrderedJson::value_t::discarded:
      break;
  }
  fail(ErrorCode::kInternal, "a record has a value of type {}, which JSON has not",
       value.type_name());
}

}  // namespace

std::string compact_json(const OrderedJson& value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string record_json(const OrderedJson& value) {
  std::string out;
  append_value(out, value);
  return out;
}

std::string stream_record(const OrderedJson& value) {
  std::string out = record_json(value);
  out += '\0';
  return out;
}

OrderedJson number_json(double value) {
  constexpr double kLargestExact = 9007199254740992.0;  // 2^53
  if (std::abs(value) <= kLargestExact && value == std::floor(value)) {
    return static_cast<int64_t>(value);
  }
  return value;
}

}  // namespace llava::serve
