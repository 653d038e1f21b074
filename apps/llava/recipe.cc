// SPDX-License-Identifier: Apache-2.0
#include "recipe.h"

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"

namespace llava::app {
namespace {

constexpr std::string_view kFlag = "--recipe";
constexpr uint64_t kMaxRecipeBytes = uint64_t{1} << 20;

void append(const std::string& key, const OrderedJson& value, const std::string& file,
            Arguments& flags) {
  if (value.is_null()) return;
  if (value.is_array()) {
    for (const OrderedJson& entry : value) append(key, entry, file, flags);
    return;
  }
  if (value.is_object()) {
    fail(ErrorCode::kBadFormat,
         "recipe '{}': key '{}' is an object, expected a text, number, true or false", file, key);
  }
  flags.push_back("--" + key + "=" + (value.is_string() ? value.get<std::string>() : value.dump()));
}

}  // namespace

Arguments with_recipe(const Arguments& arguments) {
  Arguments flags, rest;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    std::string file;
    if (argument.starts_with("--recipe=")) {
      file = argument.substr(kFlag.size() + 1);
    } else if (argument == kFlag) {
      if (++i == arguments.size()) {
        fail(ErrorCode::kInvalidArgument, "--recipe needs a file; --help lists the flags");
      }
      file = arguments[i];
    } else {
      rest.push_back(argument);
      continue;
    }
    const OrderedJson recipe = parse_recipe(read_file(file, kMaxRecipeBytes), file);
    if (!recipe.is_object()) {
      fail(ErrorCode::kBadFormat, "recipe '{}' is {}, expected an object of flags", file,
           recipe.type_name());
    }
    for (const auto& [key, value] : recipe.items()) append(key, value, file, flags);
  }
  flags.insert(flags.end(), rest.begin(), rest.end());
  return flags;
}

}  // namespace llava::app
