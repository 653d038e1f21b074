// SPDX-License-Identifier: Apache-2.0
//
// Looks at every picture of a data set once, however many samples share it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "llava/core/error.h"
#include "llava/core/guarded.h"
#include "llava/data/picture_reader.h"

namespace llava::data {

/// How closely pictures are looked at.
enum class PictureDepth : uint8_t {
  kNone,    ///< not at all
  kHeader,  ///< that the file is there and begins as a picture
  kDecode,  ///< every pixel
};

/// What was found of one picture.
struct PictureState {
  image::ImageSize size;
  std::optional<ErrorCode> fault;  ///< kNotFound when the file is not there
  std::string reason;              ///< with the path; empty without a fault
};

/// Threads: safe.
class PictureCheck {
 public:
  /// Uses the folder and the decoding of `rules`, to which it keeps a reference.
  PictureCheck(const PictureRules& rules, PictureDepth depth) : rules_(rules), depth_(depth) {}

  /// The state of a picture, from its path in the training file.
  PictureState look(const std::string& path);
  /// Number of different paths looked at.
  int64_t num_pictures() const;

 private:
  PictureState examine(const std::string& path) const;

  const PictureRules& rules_;
  PictureDepth depth_;
  Guarded<std::unordered_map<std::string, std::shared_ptr<const PictureState>>> known_;
};

}  // namespace llava::data
