// SPDX-License-Identifier: Apache-2.0
//
// Configuration structs describe their fields once, in a `describe(visitor)` member; the command
// line, recipe reader, help text and --print-config are visitors over that description.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/error.h"

namespace llava {

/// What a value must satisfy: a test and the words that follow "expected".
template <class T>
struct Constraint {
  std::function<bool(const T&)> accepts = [](const T&) { return true; };
  std::string expected;
};

template <class T>
Constraint<T> at_least(T low) {
  return {[low](const T& value) { return value >= low; }, fmt::format("at least {}", low)};
}

template <class T>
Constraint<T> in_range(T low, T high) {
  return {[low, high](const T& value) { return value >= low && value <= high; },
          fmt::format("from {} to {}", low, high)};
}

/// One of a closed list of words.
inline Constraint<std::string> one_of(std::vector<std::string> words) {
  std::string expected = "one of";
  for (const std::string& word : words) expected += " " + word;
  return {[words = std::move(words)](const std::string& value) {
            for (const std::string& word : words) {
              if (word == value) return true;
            }
            return false;
          },
          std::move(expected)};
}

/// The known name nearest to a misspelt one (Levenshtein distance, at most a third of its length),
/// for "did you mean".
std::optional<std::string> nearest_name(std::string_view name,
                                        const std::vector<std::string>& known);

}  // namespace llava
