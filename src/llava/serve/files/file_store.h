// SPDX-License-Identifier: Apache-2.0
//
// FileStore: files that clients sent ahead, to name them in requests: pictures, and lists of
// requests with their answers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/guarded.h"

namespace llava::serve {

struct StoredFile {
  std::string id;  ///< "file-..."
  std::string owner;
  std::string name;
  std::string purpose;
  int64_t created = 0;  ///< seconds since 1970
  std::shared_ptr<const std::string> bytes;
};

/// Files are in memory, and gone with the process. An owner sees no other's.
///
/// Threads: safe.
class FileStore {
 public:
  explicit FileStore(int64_t max_bytes) : max_bytes_(max_bytes) {}

  /// Throws: ApiError 413 `files_full` when all files together would be too large.
  StoredFile add(std::string owner, std::string name, std::string purpose, std::string bytes);
  std::optional<StoredFile> find(const std::string& owner, const std::string& id) const;
  /// The oldest first.
  std::vector<StoredFile> list(const std::string& owner) const;
  /// Whether there was such a file.
  bool remove(const std::string& owner, const std::string& id);

 private:
  struct Files {
    std::map<std::string, StoredFile> by_id;
    int64_t num_bytes = 0;
  };

  int64_t max_bytes_;
  Guarded<Files> files_;
};

}  // namespace llava::serve
