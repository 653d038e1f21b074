// SPDX-License-Identifier: Apache-2.0
//
// A folder that a command writes: whole under its name, or not at all.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace llava::engine {

/// The path of a folder to write, without the slash it may end in. `flag` names it in messages.
///
/// Throws: Error(kInvalidArgument) when it is empty.
std::filesystem::path output_path(const std::string& text, std::string_view flag);

/// Throws: Error(kInvalidArgument) when something lies at `target` already, other than an empty
/// folder.
void require_new_folder(const std::filesystem::path& target, std::string_view flag);

/// A folder beside its target that is removed again unless it gets the target's name.
///
/// Threads: one thread at a time.
class OutputFolder {
 public:
  /// Throws: Error(kNotFound) when the folder cannot be made.
  explicit OutputFolder(std::filesystem::path target);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  /// Where to write.
  const std::filesystem::path& folder() const noexcept { return temporary_; }

  /// Gives the folder its name; what had it before steps aside and is removed then.
  ///
  /// Throws: Error(kResourceExhausted) when it cannot be renamed; the old folder is back then.
  void finish();

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
};

}  // namespace llava::engine
