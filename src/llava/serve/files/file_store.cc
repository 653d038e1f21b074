// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/files/file_store.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "llava/serve/protocol/api_error.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {
namespace {

/// What a file costs beside its content.
constexpr int64_t kBytesPerFile = 512;

int64_t cost_of(const StoredFile& file) {
  return kBytesPerFile + static_cast<int64_t>(file.bytes->size() + file.name.size());
}

}  // namespace

StoredFile FileStore::add(std::string owner, std::string name, std::string purpose,
                          std::string bytes) {
  StoredFile file{.id = "file-" + make_request_id(),
                  .owner = std::move(owner),
                  .name = std::move(name),
                  .purpose = std::move(purpose),
                  .created = std::time(nullptr),
                  .bytes = std::make_shared<const std::string>(std::move(bytes))};
  files_.with([&](Files& files) {
    if (files.num_bytes + cost_of(file) > max_bytes_) {
      throw ApiError(413, "files_full",
                     fmt::format("the files here have {} bytes, and {} is the most: delete some, "
                                 "or start the server with a larger --max-files-bytes",
                                 files.num_bytes, max_bytes_));
    }
    files.num_bytes += cost_of(file);
    files.by_id.emplace(file.id, file);
  });
  return file;
}

std::optional<StoredFile> FileStore::find(const std::string& owner, const std::string& id) const {
  return files_.with([&](const Files& files) -> std::optional<StoredFile> {
    const auto found = files.by_id.find(id);
    if (found == files.by_id.end() || found->second.owner != owner) return std::nullopt;
    return found->second;
  });
}

std::vector<StoredFile> FileStore::list(const std::string& owner) const {
  std::vector<StoredFile> own;
  files_.with([&](const Files& files) {
    for (const auto& [id, file] : files.by_id) {
      if (file.owner == owner) own.push_back(file);
    }
  });
  std::ranges::stable_sort(own, {}, &StoredFile::created);
  return own;
}

bool FileStore::remove(const std::string& owner, const std::string& id) {
  return files_.with([&](Files& files) {
    const auto found = files.by_id.find(id);
    if (found == files.by_id.end() || found->second.owner != owner) return false;
    files.num_bytes -= cost_of(found->second);
    files.by_id.erase(found);
    return true;
  });
}

}  // namespace llava::serve
