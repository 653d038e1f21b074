// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/output_folder.h"

#include <unistd.h>

#include <system_error>
#include <utility>

#include "llava/core/error.h"

namespace llava::engine {

namespace fs = std::filesystem;

fs::path output_path(const std::string& text, std::string_view flag) {
  fs::path target(text);
  if (!target.has_filename()) target = target.parent_path();
  if (target.empty()) {
    fail(ErrorCode::kInvalidArgument, "{} is empty, expected a folder", flag);
  }
  return target;
}

void require_new_folder(const fs::path& target, std::string_view flag) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(target, error))) return;
  if (fs::is_directory(target) && fs::is_empty(target, error)) return;
  fail(ErrorCode::kInvalidArgument,
       "{} '{}' exists{}: choose a folder that does not, or remove it first", flag, target.string(),
       fs::is_directory(target) ? " and is not empty" : " and is no folder");
}

OutputFolder::OutputFolder(fs::path target)
    : target_(std::move(target)),
      temporary_(fmt::format("{}.tmp-{}", target_.string(), ::getpid())) {
  std::error_code error;
  fs::remove_all(temporary_, error);
  if (!fs::create_directories(temporary_, error)) {
    fail(ErrorCode::kNotFound, "cannot create '{}': {}", temporary_.string(), error.message());
  }
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

void OutputFolder::finish() {
  const fs::path old = fmt::format("{}.old-{}", target_.string(), ::getpid());
  std::error_code error;
  const bool replaces = fs::exists(target_);
  if (replaces) fs::rename(target_, old, error);
  if (!error) fs::rename(temporary_, target_, error);
  if (error) {
    std::error_code ignored;
    if (replaces) fs::rename(old, target_, ignored);
    fail(ErrorCode::kResourceExhausted, "cannot rename '{}' to '{}': {}", temporary_.string(),
         target_.string(), error.message());
  }
  temporary_.clear();
  fs::remove_all(old, error);
}

}  // namespace llava::engine
