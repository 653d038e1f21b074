// SPDX-License-Identifier: Apache-2.0
//
// Files of one JSON object a line, as a run leaves them: it may be writing the last line, or have
// been killed while it did.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/json.h"

namespace llava::train_report {

/// What could not be read of a file.
struct BrokenLines {
  std::string file;  ///< its name without folders
  uint64_t count = 0;
  std::vector<std::string> first;  ///< "line 3: what is wrong", of the first few
  bool has_torn_end = false;       ///< the last line has no end and is no JSON; it is not counted

  /// In words; empty when all lines were read.
  std::string text() const;
};

/// Gives `take` each object of the text, in order. A line that is no object, or that `take` refuses
/// by throwing Error, is counted and left out. `file` names the text.   Threads: safe.
BrokenLines take_json_lines(std::string_view text, const std::string& file,
                            const std::function<void(const Json&)>& take);
/// The same of a file.
///
/// Throws: Error(kNotFound) when it cannot be opened.   Threads: safe.
BrokenLines read_json_lines(const std::filesystem::path& path,
                            const std::function<void(const Json&)>& take);

/// Number under a key; NaN when it is absent, null or no number.
double number_of(const Json& object, const char* key);
/// The value as a count; nothing when it is no whole number from 0 to 2^53.
std::optional<uint64_t> whole_number(const Json& value);
/// Count under a key; 0 when it is absent or no whole number of at least 0.
uint64_t count_of(const Json& object, const char* key);
/// Text under a key; empty when it is absent or no text.
std::string text_of(const Json& object, const char* key);

}  // namespace llava::train_report
