// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/python_types.h"

#include <algorithm>
#include <span>

namespace llava::text::jinja {
namespace {

using Names = std::span<const std::string_view>;

constexpr std::string_view kStrMethods[] = {
    "capitalize",   "count",        "endswith",   "find",    "index",   "isalnum",
    "isalpha",      "isdigit",      "islower",    "isspace", "isupper", "join",
    "lower",        "lstrip",       "partition",  "replace", "rfind",   "rindex",
    "removeprefix", "removesuffix", "rpartition", "rsplit",  "rstrip",  "split",
    "splitlines",   "startswith",   "strip",      "title",   "upper"};
constexpr std::string_view kStrOthers[] = {
    "casefold", "center",    "encode",       "expandtabs", "format",      "format_map",
    "isascii",  "isdecimal", "isidentifier", "isnumeric",  "isprintable", "istitle",
    "ljust",    "maketrans", "rjust",        "swapcase",   "translate",   "zfill"};
constexpr std::string_view kListMethods[] = {"copy", "count", "index"};
constexpr std::string_view kListForbidden[] = {"append", "clear",  "extend",  "insert",
                                               "pop",    "remove", "reverse", "sort"};
constexpr std::string_view kTupleMethods[] = {"count", "index"};
constexpr std::string_view kDictMethods[] = {"copy", "get", "items", "keys", "values"};
constexpr std::string_view kDictForbidden[] = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::string_view kDictOthers[] = {"fromkeys"};
constexpr std::string_view kNumberOthers[] = {
    "as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator",
    "from_bytes",       "fromhex",   "hex",        "imag",      "is_integer",
    "numerator",        "real",      "to_bytes"};
constexpr std::string_view kLoopMethods[] = {"changed", "cycle"};

bool has(Names names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

AttributeKind kind_in(std::string_view name, Names methods, Names forbidden, Names others) {
  if (has(methods, name)) return AttributeKind::kMethod;
  if (has(forbidden, name)) return AttributeKind::kForbidden;
  return has(others, name) ? AttributeKind::kUnsupported : AttributeKind::kNone;
}

}  // namespace

AttributeKind attribute_kind(const Value& object, std::string_view name) {
  if (name.starts_with("__")) return AttributeKind::kUnsupported;
  switch (object.kind()) {
    case Kind::kString:
      return kind_in(name, kStrMethods, {}, kStrOthers);
    case Kind::kList:
      return kind_in(name, kListMethods, kListForbidden, {});
    case Kind::kTuple:
      return kind_in(name, kTupleMethods, {}, {});
    case Kind::kDict:
      return kind_in(name, kDictMethods, kDictForbidden, kDictOthers);
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return kind_in(name, {}, {}, kNumberOthers);
    case Kind::kLoop:
      return kind_in(name, kLoopMethods, {}, {});
    case Kind::kUndefined:
    case Kind::kNone:
    case Kind::kNamespace:
      return AttributeKind::kNone;
    case Kind::kView:
    case Kind::kRange:
    case Kind::kGenerator:
    case Kind::kMacro:
    case Kind::kMethod:
    case Kind::kFunction:
      return AttributeKind::kUnsupported;
  }
  return AttributeKind::kUnsupported;
}

}  // namespace llava::text::jinja
