// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/text_form.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "llava/text/chat_template/compare.h"
#include "llava/text/python_text.h"

namespace llava::text::jinja {
namespace {

void append_repr(Budget& budget, const Value& value, std::string& out);

template <class Items, class Append>
void append_joined(Budget& budget, const Items& items, std::string& out, const Append& append) {
  bool is_first = true;
  for (const auto& item : items) {
    budget.step();
    if (!is_first) out += ", ";
    is_first = false;
    append(item);
  }
}

void append_repr(Budget& budget, const Value& value, std::string& out) {
  const size_t before = out.size();
  const auto append_item = [&](const Value& item) { append_repr(budget, item, out); };
  switch (value.kind()) {
    case Kind::kUndefined:
      out += "Undefined";
      break;
    case Kind::kString:
      out += string_repr(value.as_string());
      break;
    case Kind::kList:
      out += '[';
      append_joined(budget, value.items(), out, append_item);
      out += ']';
      break;
    case Kind::kTuple:
      out += '(';
      append_joined(budget, value.items(), out, append_item);
      out += value.items().size() == 1 ? ",)" : ")";
      break;
    case Kind::kDict:
      out += '{';
      append_joined(budget, value.as_dict().items, out, [&](const auto& item) {
        append_item(item.first);
        out += ": ";
        append_item(item.second);
      });
      out += '}';
      break;
    default:
      out += to_str(budget, value);
      return;
  }
  // Items have been charged where they were made; the brackets between are fewer than steps.
  if (value.is_string()) budget.charge(out.size() - before);
}

void append_json_string(std::string_view text, bool is_ascii, std::string& out) {
  out += '"';
  for (size_t offset = 0; offset < text.size();) {
    const size_t begin = offset;
    const char32_t c = next_code_point(text, offset);
    const auto code = static_cast<uint32_t>(c);
    static constexpr std::string_view kEscaped = "\"\\\n\r\t\f\b";
    static constexpr std::string_view kEscapes = "\"\\nrtfb";
    const size_t escape =
        code < 0x80 ? kEscaped.find(static_cast<char>(code)) : std::string_view::npos;
    if (escape != std::string_view::npos) {
      out += '\\';
      out += kEscapes[escape];
    } else if (code < 0x20 || (is_ascii && code >= 0x7F && code < 0x10000)) {
      out += fmt::format("\\u{:04x}", code);
    } else if (is_ascii && code >= 0x10000) {
      const uint32_t rest = code - 0x10000;
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
    } else {
      out += text.substr(begin, offset - begin);
    }
  }
  out += '"';
}

class JsonWriter {
 public:
  JsonWriter(Budget& budget, const JsonStyle& style) : budget_(budget), style_(style) {}

  void write(const Value& value, int level) {
    budget_.step();
    const size_t before = out_.size();
    switch (value.kind()) {
      case Kind::kNone:
        out_ += "null";
        break;
      case Kind::kBool:
        out_ += value.as_bool() ? "true" : "false";
        break;
      case Kind::kInt:
        out_ += std::to_string(value.as_int());
        break;
      case Kind::kFloat:
        out_ += json_float(value.as_double());
        break;
      case Kind::kString:
        append_json_string(value.as_string(), style_.is_ascii, out_);
        break;
      case Kind::kList:
      case Kind::kTuple:
        write_container('[', ']', value.items(), level,
                        [&](const Value& item) { write(item, level + 1); });
        return;
      case Kind::kDict:
        write_dict(value, level);
        return;
      default:
        fail(ErrorCode::kInvalidArgument, "Object of type {} is not JSON serializable",
             type_name(value));
    }
    budget_.charge(out_.size() - before);
  }

  std::string take() { return std::move(out_); }

 private:
  static std::string json_float(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return float_repr(value);
  }

  void new_line(int level) {
    if (!style_.indent) return;
    budget_.charge(style_.indent->size() * static_cast<size_t>(level) + 1);
    out_ += '\n';
    for (int i = 0; i < level; ++i) out_ += *style_.indent;
  }

  template <class Items, class Write>
  void write_container(char open, char close, const Items& items, int level,
                       const Write& write_item) {
    out_ += open;
    bool is_first = true;
    for (const auto& item : items) {
      budget_.charge(style_.item_separator.size() + style_.key_separator.size() + 2);
      if (!is_first) out_ += style_.item_separator;
      is_first = false;
      new_line(level + 1);
      write_item(item);
    }
    if (!is_first) new_line(level);
    out_ += close;
  }

  void write_dict(const Value& value, int level) {
    std::vector<std::pair<Value, Value>> items = value.as_dict().items;
    if (style_.has_sorted_keys) {
      std::stable_sort(items.begin(), items.end(), [this](const auto& a, const auto& b) {
        return compare(budget_, a.first, b.first) == Order::kLess;
      });
    }
    write_container('{', '}', items, level, [&](const auto& item) {
      append_json_string(key_text(item.first), style_.is_ascii, out_);
      out_ += style_.key_separator;
      write(item.second, level + 1);
    });
  }

  static std::string key_text(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return key.as_string();
      case Kind::kNone:
        return "null";
      case Kind::kBool:
        return key.as_bool() ? "true" : "false";
      case Kind::kInt:
        return std::to_string(key.as_int());
      case Kind::kFloat:
        return json_float(key.as_double());
      default:
        fail(ErrorCode::kInvalidArgument, "keys must be str, int, float, bool or None, not {}",
             type_name(key));
    }
  }

  Budget& budget_;
  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

std::string to_str(Budget& budget, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "";
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return value.as_bool() ? "True" : "False";
    case Kind::kInt:
      return std::to_string(value.as_int());
    case Kind::kFloat:
      return float_repr(value.as_double());
    case Kind::kString:
      budget.charge(value.as_string().size());
      return value.as_string();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict: {
      std::string out;
      append_repr(budget, value, out);
      return out;
    }
    default:
      fail(ErrorCode::kUnsupported, "printing a {} is not supported", type_name(value));
  }
}

std::string string_repr(std::string_view text) {
  const bool has_double = text.find('"') != std::string_view::npos;
  const char quote = text.find('\'') != std::string_view::npos && !has_double ? '"' : '\'';
  std::string out(1, quote);
  for (size_t offset = 0; offset < text.size();) {
    const size_t begin = offset;
    const auto code = static_cast<uint32_t>(next_code_point(text, offset));
    if (code == static_cast<unsigned char>(quote) || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n') {
      out += "\\n";
    } else if (code == '\r') {
      out += "\\r";
    } else if (code == '\t') {
      out += "\\t";
    } else if (is_python_printable(code)) {
      out += text.substr(begin, offset - begin);
    } else if (code < 0x100) {
      out += fmt::format("\\x{:02x}", code);
    } else if (code < 0x10000) {
      out += fmt::format("\\u{:04x}", code);
    } else {
      out += fmt::format("\\U{:08x}", code);
    }
  }
  return out + quote;
}

// The shortest digits that give the number back, in plain form from 1e-4 up to below 1e16.
std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific)
                       .ptr;
  const std::string text(buffer.data(), end);
  const size_t mark = text.find('e');
  const int exponent = std::stoi(text.substr(mark + 1));
  if (exponent < -4 || exponent >= 16) {
    // Python writes at least two digits of exponent, as to_chars does.
    return text;
  }
  const bool is_negative = text[0] == '-';
  std::string digits = text.substr(is_negative ? 1 : 0, mark - (is_negative ? 1 : 0));
  std::erase(digits, '.');
  std::string out = is_negative ? "-" : "";
  const auto num_digits = static_cast<int>(digits.size());
  if (exponent < 0) {
    out += "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  } else if (exponent + 1 >= num_digits) {
    out += digits + std::string(static_cast<size_t>(exponent + 1 - num_digits), '0') + ".0";
  } else {
    const auto whole = static_cast<size_t>(exponent + 1);
    out += digits.substr(0, whole) + "." + digits.substr(whole);
  }
  return out;
}

std::string to_json(Budget& budget, const Value& value, const JsonStyle& style) {
  JsonWriter writer(budget, style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace llava::text::jinja
