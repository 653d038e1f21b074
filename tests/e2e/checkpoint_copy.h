// SPDX-License-Identifier: Apache-2.0
//
// Golden checkpoints as copies that a test may damage, and safetensors files taken apart for it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "llava/core/json.h"
#include "support/temporary_folder.h"

namespace llava::testing {

/// A safetensors file as its header and the bytes of its tensors.
struct SafetensorsParts {
  Json header;
  std::string data;

  static SafetensorsParts of(std::string_view file);
  /// The file again, with whatever the header says now.
  std::string file() const;
};

/// Fixture with copies of golden checkpoints beside copies of their vision towers.
class CheckpointCopy : public TemporaryFolder {
 protected:
  /// A fresh copy of a folder or file of tests/golden/models, writable; nothing else is changed.
  std::filesystem::path copy(const std::string& model) const;

  static void edit(const std::filesystem::path& file,
                   const std::function<std::string(std::string)>& change);
  /// Replaces the one occurrence of `from`; records a failure when it is not there.
  static void substitute(const std::filesystem::path& file, const std::string& from,
                         const std::string& to);
  static void edit_header(const std::filesystem::path& safetensors,
                          const std::function<void(Json&)>& change);
};

}  // namespace llava::testing
