// SPDX-License-Identifier: Apache-2.0
#include "llava/core/replaced_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "llava/core/error.h"

namespace llava {

ReplacedFile::ReplacedFile(std::filesystem::path target)
    : target_(std::move(target)),
      path_(target_.string() + ".tmp-" + std::to_string(::getpid())),
      file_(std::fopen(path_.c_str(), "wbe")) {
  if (file_ == nullptr) {
    fail(ErrorCode::kNotFound, "cannot create '{}': {}", path_, std::strerror(errno));
  }
}

ReplacedFile::~ReplacedFile() {
  if (file_ != nullptr) std::fclose(file_);
  if (!path_.empty()) std::remove(path_.c_str());
}

void ReplacedFile::write(std::span<const std::byte> bytes) {
  if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) {
    refuse();
  }
  size_ += bytes.size();
}

void ReplacedFile::flush() {
  if (file_ == nullptr) return;
  if (std::fflush(file_) != 0 || ::fsync(::fileno(file_)) != 0) refuse();
  std::FILE* const file = std::exchange(file_, nullptr);
  if (std::fclose(file) != 0) refuse();
}

void ReplacedFile::finish() {
  flush();
  if (std::rename(path_.c_str(), target_.c_str()) != 0) {
    fail(ErrorCode::kNotFound, "cannot rename '{}' to '{}': {}", path_, target_.string(),
         std::strerror(errno));
  }
  path_.clear();
}

void ReplacedFile::refuse() const {
  fail(ErrorCode::kResourceExhausted, "cannot write '{}': {}", path_, std::strerror(errno));
}

}  // namespace llava
