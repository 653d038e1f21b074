// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/repo_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "llava/checkpoint/hub_cache.h"
#include "llava/core/error.h"
#include "llava/core/file.h"

namespace llava::hub {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_to_write(const fs::path& path, const std::string& reason) {
  fail(ErrorCode::kResourceExhausted,
       "cannot write '{}': {}: check the folder's permissions and disk, or set HF_HOME to another",
       path.string(), reason);
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail_to_write(folder, error.message());
}

// Whoever releases a lock may remove its file: then a lock on what was there says nothing.
bool is_still_there(int descriptor, const fs::path& path) {
  struct stat held {};
  struct stat named {};
  return ::fstat(descriptor, &held) == 0 && ::stat(path.c_str(), &named) == 0 &&
         held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

void write_if_different(const fs::path& path, const std::string& text) {
  std::error_code error;
  if (fs::is_regular_file(path, error) && read_file(path, 4096) == text) return;
  make_folder(path.parent_path());
  write_file_atomically(path, text);
}

}  // namespace

std::optional<FileLock> FileLock::try_lock(const fs::path& path) {
  for (;;) {
    FileLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (lock.descriptor_ < 0) fail_to_write(path, std::strerror(errno));
    if (::flock(lock.descriptor_, LOCK_EX | LOCK_NB) != 0) return std::nullopt;
    if (is_still_there(lock.descriptor_, path)) return lock;
  }
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

RepoCache::RepoCache(fs::path cache, const std::string& repo)
    : folder_(cache / checkpoint::hub_folder_name(repo)),
      locks_(cache / ".locks" / checkpoint::hub_folder_name(repo)) {}

bool RepoCache::has_blob(const std::string& name) const {
  std::error_code error;
  return fs::is_regular_file(blob(name), error);
}

void RepoCache::make_folders() const {
  make_folder(blobs());
  make_folder(locks());
}

void RepoCache::drop_partial(const std::string& name) const {
  std::error_code error;
  if (!fs::exists(partial(name), error)) return;
  // Whoever has the lock is about to give it its name.
  if (const auto held = FileLock::try_lock(lock(name))) fs::remove(partial(name), error);
}

void RepoCache::link(const std::string& commit, const std::string& path,
                     const std::string& name) const {
  const fs::path place = snapshot(commit) / path;
  fs::path target = "../../blobs";
  for (auto depth = std::count(path.begin(), path.end(), '/'); depth > 0; --depth) {
    target = ".." / target;
  }
  target /= name;
  std::error_code error;
  if (fs::read_symlink(place, error) == target) return;
  make_folder(place.parent_path());
  const fs::path fresh = place.string() + ".tmp-" + std::to_string(::getpid());
  fs::remove(fresh, error);
  fs::create_symlink(target, fresh, error);
  if (!error) fs::rename(fresh, place, error);
  if (error) fail_to_write(place, error.message());
}

void RepoCache::set_ref(const std::string& revision, const std::string& commit) const {
  if (revision != commit) write_if_different(folder_ / "refs" / revision, commit);
}

void RepoCache::note_absent(const std::string& commit, const std::string& path) const {
  write_if_different(folder_ / ".no_exist" / commit / path, "");
}

}  // namespace llava::hub
