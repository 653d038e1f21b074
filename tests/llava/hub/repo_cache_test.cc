// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/repo_cache.h"

#include <gtest/gtest.h>

#include "llava/checkpoint/expect_error.h"
#include "llava/core/file.h"
#include "support/temporary_folder.h"

namespace llava::hub {
namespace {

namespace fs = std::filesystem;
using llava::testing::expect_error;

const std::string kCommit(40, 'a');

class RepoCacheTest : public llava::testing::TemporaryFolder {
 protected:
  const RepoCache& cache() {
    if (!cache_) cache_.emplace(folder_, "org/name");
    return *cache_;
  }

  std::optional<RepoCache> cache_;
};

TEST_F(RepoCacheTest, LinksAreRelativeAtEveryDepth) {
  cache().make_folders();
  write("models--org--name/blobs/b1", "content");
  EXPECT_TRUE(cache().has_blob("b1"));
  EXPECT_FALSE(cache().has_blob("b2"));
  cache().link(kCommit, "config.json", "b1");
  cache().link(kCommit, "a/b/config.json", "b1");
  const fs::path snapshot = cache().snapshot(kCommit);
  EXPECT_EQ(fs::read_symlink(snapshot / "config.json"), "../../blobs/b1");
  EXPECT_EQ(fs::read_symlink(snapshot / "a/b/config.json"), "../../../../blobs/b1");
  EXPECT_EQ(read_file(snapshot / "a/b/config.json", 100), "content");
}

TEST_F(RepoCacheTest, ALinkThatIsOtherIsReplaced) {
  cache().make_folders();
  cache().link(kCommit, "config.json", "b1");
  cache().link(kCommit, "config.json", "b2");
  EXPECT_EQ(fs::read_symlink(cache().snapshot(kCommit) / "config.json"), "../../blobs/b2");
  write("models--org--name/snapshots/" + kCommit + "/copy.json", "a copy");
  cache().link(kCommit, "copy.json", "b1");
  EXPECT_EQ(fs::read_symlink(cache().snapshot(kCommit) / "copy.json"), "../../blobs/b1");
}

TEST_F(RepoCacheTest, ReferencesAndWhatIsAbsent) {
  cache().set_ref("main", kCommit);
  cache().set_ref("refs/pr/1", kCommit);
  cache().set_ref(kCommit, kCommit);
  EXPECT_EQ(read_file(cache().folder() / "refs/main", 100), kCommit);
  EXPECT_EQ(read_file(cache().folder() / "refs/refs/pr/1", 100), kCommit);
  EXPECT_FALSE(fs::exists(cache().folder() / "refs" / kCommit));
  cache().note_absent(kCommit, "adapter_config.json");
  EXPECT_EQ(fs::file_size(cache().folder() / ".no_exist" / kCommit / "adapter_config.json"), 0u);
}

TEST_F(RepoCacheTest, OneHoldsALock) {
  cache().make_folders();
  const fs::path path = cache().lock("b1");
  EXPECT_EQ(path, folder_ / ".locks/models--org--name/b1.lock");
  {
    const auto lock = FileLock::try_lock(path);
    ASSERT_TRUE(lock);
    EXPECT_FALSE(FileLock::try_lock(path));
    EXPECT_TRUE(FileLock::try_lock(cache().lock("b2")));
  }
  EXPECT_TRUE(FileLock::try_lock(path));
}

TEST_F(RepoCacheTest, ALockWhoseFileWasRemovedProtectsNothing) {
  cache().make_folders();
  const fs::path path = cache().lock("b1");
  const auto old = FileLock::try_lock(path);
  ASSERT_TRUE(old);
  fs::remove(path);
  const auto fresh = FileLock::try_lock(path);
  EXPECT_TRUE(fresh);
  EXPECT_FALSE(FileLock::try_lock(path));
}

TEST_F(RepoCacheTest, WhereNothingCanBeWritten) {
  write("models--org--name", "a file in the way");
  expect_error(ErrorCode::kResourceExhausted, {"models--org--name", "HF_HOME"},
               [&] { cache().make_folders(); });
}

}  // namespace
}  // namespace llava::hub
