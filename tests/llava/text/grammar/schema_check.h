// SPDX-License-Identifier: Apache-2.0
//
// A validator of JSON schemas for tests: the rules of the standard, written without any of the code
// that makes grammars of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <regex>
#include <string>

#include "llava/core/json.h"
#include "llava/text/utf8.h"

namespace llava::text::grammar {

/// Checks values against one schema. Members of `required`, `properties` and so on as in the
/// standard; `format` for date, time, date-time, uuid and ipv4.
class SchemaCheck {
 public:
  explicit SchemaCheck(Json root) : root_(std::move(root)) {}

  bool fits(const Json& value) const { return fits(value, root_); }

 private:
  static bool has_type(const Json& value, const std::string& type) {
    if (type == "integer") {
      return value.is_number_integer() ||
             (value.is_number() && std::floor(value.get<double>()) == value.get<double>());
    }
    return type == value.type_name();
  }

  static std::size_t num_characters(const std::string& text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    }));
  }

  // By characters, for patterns.
  static std::wstring wide(const std::string& text) {
    std::wstring result;
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Char next = decode_utf8(text, at);
      result += static_cast<wchar_t>(next.code_point);
      at += next.num_bytes;
    }
    return result;
  }

  static bool is_date(const std::string& text) {
    static const std::regex form("(\\d{4})-(\\d\\d)-(\\d\\d)");
    std::smatch match;
    if (!std::regex_match(text, match, form)) return false;
    const int year = std::stoi(match[1]), month = std::stoi(match[2]), day = std::stoi(match[3]);
    const bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    const int lengths[] = {31, is_leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= lengths[month - 1];
  }

  static bool is_time(const std::string& text) {
    static const std::regex form("(\\d\\d):(\\d\\d):(\\d\\d)(\\.\\d+)?(Z|[+-](\\d\\d):(\\d\\d))");
    std::smatch match;
    if (!std::regex_match(text, match, form)) return false;
    const auto below = [&](std::size_t group, int limit) {
      return match[group].length() == 0 || std::stoi(match[group]) < limit;
    };
    return below(1, 24) && below(2, 60) && below(3, 60) && below(6, 24) && below(7, 60);
  }

  static bool fits_format(const std::string& text, const std::string& format) {
    if (format == "date") return is_date(text);
    if (format == "time") return is_time(text);
    if (format == "date-time") {
      return text.size() > 11 && text[10] == 'T' && is_date(text.substr(0, 10)) &&
             is_time(text.substr(11));
    }
    if (format == "uuid") {
      return std::regex_match(text,
                              std::regex("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"));
    }
    if (format == "ipv4") {
      std::smatch match;
      if (!std::regex_match(text, match,
                            std::regex("(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})"))) {
        return false;
      }
      for (std::size_t i = 1; i <= 4; ++i) {
        if (std::stoi(match[i]) > 255) return false;
      }
    }
    return true;
  }

  bool fits_string(const std::string& text, const Json& schema) const {
    const std::size_t length = num_characters(text);
    if (schema.contains("minLength") && length < schema["minLength"].get<std::size_t>())
      return false;
    if (schema.contains("maxLength") && length > schema["maxLength"].get<std::size_t>())
      return false;
    if (schema.contains("pattern") &&
        !std::regex_search(wide(text), std::wregex(wide(schema["pattern"].get<std::string>())))) {
      return false;
    }
    return !schema.contains("format") || fits_format(text, schema["format"].get<std::string>());
  }

  bool fits_number(const Json& value, const Json& schema) const {
    const double x = value.get<double>();
    const auto bound = [&](const char* keyword) { return schema[keyword].get<double>(); };
    return !(schema.contains("minimum") && x < bound("minimum")) &&
           !(schema.contains("maximum") && x > bound("maximum")) &&
           !(schema.contains("exclusiveMinimum") && x <= bound("exclusiveMinimum")) &&
           !(schema.contains("exclusiveMaximum") && x >= bound("exclusiveMaximum"));
  }

  bool fits_array(const Json& value, const Json& schema) const {
    if (schema.contains("minItems") && value.size() < schema["minItems"].get<std::size_t>())
      return false;
    if (schema.contains("maxItems") && value.size() > schema["maxItems"].get<std::size_t>())
      return false;
    return !schema.contains("items") ||
           std::all_of(value.begin(), value.end(),
                       [&](const Json& item) { return fits(item, schema["items"]); });
  }

  bool fits_object(const Json& value, const Json& schema) const {
    if (schema.contains("required")) {
      for (const Json& name : schema["required"]) {
        if (!value.contains(name.get<std::string>())) return false;
      }
    }
    for (const auto& [name, member] : value.items()) {
      if (schema.contains("properties") && schema["properties"].contains(name)) {
        if (!fits(member, schema["properties"][name])) return false;
      } else if (schema.contains("additionalProperties") &&
                 !fits(member, schema["additionalProperties"])) {
        return false;
      }
    }
    return true;
  }

  std::size_t num_fitting(const Json& value, const Json& schemas) const {
    return static_cast<std::size_t>(std::count_if(
        schemas.begin(), schemas.end(), [&](const Json& schema) { return fits(value, schema); }));
  }

  bool fits(const Json& value, const Json& schema) const {
    if (schema.is_boolean()) return schema.get<bool>();
    if (schema.contains("$ref")) {
      const Json::json_pointer place(schema["$ref"].get<std::string>().substr(1));
      if (!fits(value, root_.at(place))) return false;
    }
    if (schema.contains("type")) {
      const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
      if (std::none_of(types.begin(), types.end(), [&](const Json& type) {
            return has_type(value, type.get<std::string>());
          })) {
        return false;
      }
    }
    if (schema.contains("const") && value != schema["const"]) return false;
    if (schema.contains("enum") &&
        std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end()) {
      return false;
    }
    if (schema.contains("anyOf") && num_fitting(value, schema["anyOf"]) == 0) return false;
    if (schema.contains("oneOf") && num_fitting(value, schema["oneOf"]) != 1) return false;
    if (schema.contains("allOf") && num_fitting(value, schema["allOf"]) != schema["allOf"].size()) {
      return false;
    }
    if (value.is_string()) return fits_string(value.get<std::string>(), schema);
    if (value.is_number()) return fits_number(value, schema);
    if (value.is_array()) return fits_array(value, schema);
    if (value.is_object()) return fits_object(value, schema);
    return true;
  }

  Json root_;
};

}  // namespace llava::text::grammar
