// SPDX-License-Identifier: Apache-2.0
//
// Record: one sample of a training file as it is written there, before any template.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace llava::data {

/// One turn of a dialogue.
struct Turn {
  std::string from;  ///< "human" or "gpt"; whoever uses the record checks it
  std::string value;
};

/// One sample.
struct Record {
  int64_t index = 0;  ///< position in the file, from 0
  std::string id;     ///< the file's `id` as text; empty without one
  /// Paths below the image folder; a file may name one or a list.
  std::vector<std::string> images;
  /// The key `image` is there: what makes a sample multimodal.
  bool has_image_key = false;
  std::vector<Turn> conversations;
};

/// How messages name a record: "sample 17 (id 'GCC_000017')".
std::string describe(const Record& record);

}  // namespace llava::data
