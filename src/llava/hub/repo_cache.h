// SPDX-License-Identifier: Apache-2.0
//
// RepoCache: one model's part of the cache, where it is written. checkpoint/hub_cache.h shows the
// layout and reads it; besides what is shown there,
//
//   models--ORG--NAME/blobs/ETAG.incomplete        the beginning of a content, until it is whole
//                    /.no_exist/COMMIT/FILE        a file that the commit is known not to have
//   .locks/models--ORG--NAME/ETAG.lock             held while a content is fetched
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace llava::hub {

/// A lock that huggingface_hub takes as well: a lock on a file, which stays where it is.
///
/// Threads: one thread at a time.
class FileLock {
 public:
  /// Nothing while somebody else has the lock.
  ///
  /// Throws: Error(kResourceExhausted) where no file can be made.
  static std::optional<FileLock> try_lock(const std::filesystem::path& path);

  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

/// Threads: safe, as far as the file system is.
class RepoCache {
 public:
  RepoCache(std::filesystem::path cache, const std::string& repo);

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path blobs() const { return folder_ / "blobs"; }
  std::filesystem::path blob(const std::string& name) const { return blobs() / name; }
  std::filesystem::path partial(const std::string& name) const {
    return blobs() / (name + ".incomplete");
  }
  std::filesystem::path snapshot(const std::string& commit) const {
    return folder_ / "snapshots" / commit;
  }
  const std::filesystem::path& locks() const { return locks_; }
  std::filesystem::path lock(const std::string& name) const { return locks_ / (name + ".lock"); }

  bool has_blob(const std::string& name) const;

  /// Makes the folders that blobs and locks are written to.
  ///
  /// Throws: Error(kResourceExhausted) naming the folder; so do the ones below.
  void make_folders() const;
  /// Removes the beginning of a content that has become whole without it.
  void drop_partial(const std::string& blob) const;
  /// Links a file of a commit to its content.
  void link(const std::string& commit, const std::string& path, const std::string& blob) const;
  /// Notes that a branch or tag is this commit now.
  void set_ref(const std::string& revision, const std::string& commit) const;
  /// Notes that a commit has no such file, so that others need not ask.
  void note_absent(const std::string& commit, const std::string& path) const;

 private:
  std::filesystem::path folder_;
  std::filesystem::path locks_;
};

}  // namespace llava::hub
