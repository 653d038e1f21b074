// SPDX-License-Identifier: Apache-2.0
#include "llava/core/json.h"

#include <cmath>
#include <set>

#include "llava/core/error.h"
#include "llava/core/file.h"

namespace llava {
namespace {

constexpr std::size_t kMaxValueBytes = 80;
constexpr std::size_t kMaxReasonBytes = 300;

// `text` for a message: cut when long, and never inside a character.
std::string brief(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  std::size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;
  return std::string(text.substr(0, end)) + "...";
}

// What the library says, without its own name and number for it: "[json.exception.x.101] ".
std::string reason_of(std::string_view what) {
  const std::size_t end = what.starts_with('[') ? what.find("] ") : std::string_view::npos;
  if (end != std::string_view::npos) what.remove_prefix(end + 2);
  return brief(what, kMaxReasonBytes);
}

// Builds the document while counting depth and refusing duplicate keys, which the library keeps
// silently and which let two readers of one file disagree.
template <class Document>
class LimitedBuilder {
 public:
  using number_integer_t = typename Document::number_integer_t;
  using number_unsigned_t = typename Document::number_unsigned_t;
  using number_float_t = typename Document::number_float_t;
  using string_t = typename Document::string_t;
  using binary_t = typename Document::binary_t;

  LimitedBuilder(Document& root, std::string_view source)
      : dom_(root, /*allow_exceptions_=*/true), source_(source) {}

  bool null() { return dom_.null(); }
  bool boolean(bool value) { return dom_.boolean(value); }
  bool number_integer(number_integer_t value) { return dom_.number_integer(value); }
  bool number_unsigned(number_unsigned_t value) { return dom_.number_unsigned(value); }
  bool number_float(number_float_t value, const string_t& text) {
    return dom_.number_float(value, text);
  }
  bool string(string_t& value) { return dom_.string(value); }
  bool binary(binary_t& value) { return dom_.binary(value); }
  bool start_object(std::size_t size) {
    enter();
    keys_.emplace_back();
    return dom_.start_object(size);
  }
  bool key(string_t& name) {
    if (!keys_.back().insert(name).second) {
      fail(ErrorCode::kBadFormat, "{}: key '{}' occurs twice in one object", source_,
           brief(name, kMaxValueBytes));
    }
    return dom_.key(name);
  }
  bool end_object() {
    --depth_;
    keys_.pop_back();
    return dom_.end_object();
  }
  bool start_array(std::size_t size) {
    enter();
    return dom_.start_array(size);
  }
  bool end_array() {
    --depth_;
    return dom_.end_array();
  }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string& /*token*/, const Exception& e) {
    fail(ErrorCode::kBadFormat, "{}: not valid JSON at byte {}: {}; correct it or get it again",
         source_, position, reason_of(e.what()));
  }

 private:
  void enter() {
    if (++depth_ > kMaxJsonDepth) {
      fail(ErrorCode::kBadFormat, "{}: JSON is nested deeper than {} levels", source_,
           kMaxJsonDepth);
    }
  }

  nlohmann::detail::json_sax_dom_parser<Document> dom_;
  std::string_view source_;
  std::vector<std::set<std::string>> keys_;
  int depth_ = 0;
};

template <class Document>
Document parse_document(std::string_view text, std::string_view source,
                        bool ignores_comments = false) {
  if (text.empty()) {
    fail(ErrorCode::kBadFormat, "{} is empty, expected JSON; get it again", source);
  }
  Document root;
  LimitedBuilder builder(root, source);
  try {
    Document::sax_parse(text.begin(), text.end(), &builder, Document::input_format_t::json,
                        /*strict=*/true, ignores_comments);
  } catch (const typename Document::exception& e) {
    fail(ErrorCode::kBadFormat, "{}: not valid JSON: {}", source, reason_of(e.what()));
  }
  return root;
}

// Readers of JSON lines that split at Unicode's line ends (Python's splitlines) must not find one
// inside a string. Outside of strings the three cannot occur.
std::string escape_line_ends(std::string text) {
  static constexpr std::pair<std::string_view, std::string_view> kEscapes[] = {
      {"\xC2\x85", "\\u0085"}, {"\xE2\x80\xA8", "\\u2028"}, {"\xE2\x80\xA9", "\\u2029"}};
  for (const auto& [raw, escaped] : kEscapes) {
    for (std::size_t at = text.find(raw); at != std::string::npos; at = text.find(raw, at)) {
      text.replace(at, raw.size(), escaped);
    }
  }
  return text;
}

}  // namespace

Json parse_json(std::string_view text, std::string_view source) {
  return parse_document<Json>(text, source);
}

OrderedJson parse_recipe(std::string_view text, std::string_view source) {
  return parse_document<OrderedJson>(text, source, /*ignores_comments=*/true);
}

OrderedJson parse_ordered_json(std::string_view text, std::string_view source) {
  return parse_document<OrderedJson>(text, source);
}

Json read_json_file(const std::filesystem::path& path, uint64_t max_bytes) {
  return parse_json(read_file(path, max_bytes), fmt::format("'{}'", path.string()));
}

std::string to_text(const Json& value, int indent) {
  return escape_line_ends(value.dump(indent, ' ', false, Json::error_handler_t::replace));
}

std::string to_text(const OrderedJson& value, int indent) {
  return escape_line_ends(value.dump(indent, ' ', false, OrderedJson::error_handler_t::replace));
}

JsonObject::JsonObject(const Json& value, std::string_view source)
    : value_(&value), source_(source) {
  if (!value.is_object()) {
    fail(ErrorCode::kBadFormat, "{}: expected a JSON object, found {}", source_, value.type_name());
  }
}

const Json* JsonObject::find(std::string_view key) const {
  const auto it = value_->find(std::string(key));
  return it == value_->end() || it->is_null() ? nullptr : &*it;
}

bool JsonObject::has(std::string_view key) const { return find(key) != nullptr; }

void JsonObject::wrong_type(std::string_view key, std::string_view expected) const {
  const Json* value = find(key);
  const std::string found = value == nullptr ? "absent" : brief(to_text(*value), kMaxValueBytes);
  fail(ErrorCode::kBadFormat, "{}: key '{}' is {}, expected {}", source_, key, found, expected);
}

std::optional<bool> JsonObject::get_bool(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) wrong_type(key, "true or false");
  return value->get<bool>();
}

std::optional<int64_t> JsonObject::get_int(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_number_unsigned()) {
    const auto number = value->get<uint64_t>();
    if (number > static_cast<uint64_t>(INT64_MAX)) wrong_type(key, "a 64-bit integer");
    return static_cast<int64_t>(number);
  }
  if (value->is_number_integer()) return value->get<int64_t>();
  if (value->is_number_float()) {
    const double number = value->get<double>();
    if (number == std::floor(number) && std::fabs(number) < 9e15) {
      return static_cast<int64_t>(number);
    }
  }
  wrong_type(key, "an integer");
}

std::optional<double> JsonObject::get_number(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) wrong_type(key, "a number");
  return value->get<double>();
}

std::optional<std::string> JsonObject::get_string(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) wrong_type(key, "a string");
  return value->get<std::string>();
}

std::optional<std::vector<int64_t>> JsonObject::get_int_list(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) wrong_type(key, "a list of integers");
  std::vector<int64_t> list;
  for (const Json& item : *value) {
    if (!item.is_number_integer() ||
        (item.is_number_unsigned() && item.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))) {
      wrong_type(key, "a list of integers");
    }
    list.push_back(item.get<int64_t>());
  }
  return list;
}

std::optional<std::vector<double>> JsonObject::get_number_list(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) wrong_type(key, "a list of numbers");
  std::vector<double> list;
  for (const Json& item : *value) {
    if (!item.is_number()) wrong_type(key, "a list of numbers");
    list.push_back(item.get<double>());
  }
  return list;
}

std::optional<std::vector<std::string>> JsonObject::get_string_list(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) wrong_type(key, "a list of strings");
  std::vector<std::string> list;
  for (const Json& item : *value) {
    if (!item.is_string()) wrong_type(key, "a list of strings");
    list.push_back(item.get<std::string>());
  }
  return list;
}

}  // namespace llava
