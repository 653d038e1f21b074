// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/cached_models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llava/checkpoint/expect_error.h"
#include "llava/hub/repo_cache.h"
#include "support/temporary_folder.h"

namespace llava::hub {
namespace {

namespace fs = std::filesystem;
using llava::testing::expect_error;
using ::testing::ElementsAre;

const std::string kFirst(40, '1');
const std::string kSecond(40, '2');

/// A model with two commits that share a content.
class CachedModels : public llava::testing::TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    cache_.make_folders();
    write("models--org--name/blobs/shared", std::string(100, 's'));
    write("models--org--name/blobs/old", std::string(10, 'o'));
    write("models--org--name/blobs/new", std::string(20, 'n'));
    write("models--org--name/blobs/next.incomplete", std::string(5, 'i'));
    cache_.link(kFirst, "model.safetensors", "shared");
    cache_.link(kFirst, "config.json", "old");
    cache_.link(kSecond, "model.safetensors", "shared");
    cache_.link(kSecond, "sub/config.json", "new");
    cache_.link(kSecond, "sub/again.json", "new");
    cache_.set_ref("main", kSecond);
    cache_.set_ref("refs/pr/1", kFirst);
    cache_.note_absent(kFirst, "vocab.json");
  }

  std::vector<std::string> blobs() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(cache_.blobs())) {
      names.push_back(entry.path().filename());
    }
    std::ranges::sort(names);
    return names;
  }

  Removal plan(const char* name) const {
    return plan_removal(folder_, *checkpoint::parse_hub_name(name));
  }

  // Before SetUp makes the folder anew, nothing is written.
  RepoCache cache_{fs::path(::testing::TempDir()) /
                       (std::string("CachedModels.") +
                        ::testing::UnitTest::GetInstance()->current_test_info()->name()),
                   "org/name"};
};

TEST_F(CachedModels, WhatThereIs) {
  write("models--gpt2/snapshots/x/config.json", "a copy, no link");
  write("datasets--org--name/snapshots/x/data", "x");
  write("models--/x", "x");
  write("version.txt", "1");
  const auto models = list_cached_models(folder_);
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0].repo, "gpt2");
  EXPECT_EQ(models[1].repo, "org/name");
  EXPECT_EQ(models[1].bytes, 135u);
  EXPECT_EQ(models[1].partial_bytes, 5u);
  ASSERT_EQ(models[1].snapshots.size(), 2u);
  const CachedSnapshot& first = models[1].snapshots[0];
  EXPECT_EQ(first.commit, kFirst);
  EXPECT_THAT(first.refs, ElementsAre("refs/pr/1"));
  EXPECT_EQ(first.bytes, 110u);
  EXPECT_GT(first.last_used, 1'600'000'000);
  EXPECT_EQ(models[1].snapshots[1].bytes, 120u);
  EXPECT_THAT(models[1].snapshots[1].refs, ElementsAre("main"));
  EXPECT_TRUE(list_cached_models(folder_ / "nowhere").empty());
}

TEST_F(CachedModels, OneRevisionFreesWhatNoOtherNeeds) {
  const Removal removal = plan("org/name@main");
  EXPECT_EQ(removal.commit, kSecond);
  EXPECT_EQ(removal.bytes, 20u);
  remove(removal);
  EXPECT_THAT(blobs(), ElementsAre("next.incomplete", "old", "shared"));
  EXPECT_FALSE(fs::exists(cache_.snapshot(kSecond)));
  EXPECT_FALSE(fs::exists(cache_.folder() / "refs/main"));
  EXPECT_TRUE(fs::exists(cache_.snapshot(kFirst) / "config.json"));
  // The last one takes everything with it.
  const Removal rest = plan("org/name@1111111");
  EXPECT_EQ(rest.commit, "");
  EXPECT_EQ(rest.bytes, 115u);
  remove(rest);
  EXPECT_FALSE(fs::exists(cache_.folder()));
}

TEST_F(CachedModels, AllOfIt) {
  const Removal removal = plan("org/name");
  EXPECT_EQ(removal.bytes, 135u);
  remove(removal);
  EXPECT_FALSE(fs::exists(cache_.folder()));
  EXPECT_FALSE(fs::exists(cache_.locks()));
}

TEST_F(CachedModels, LinksThatLeadElsewhereHarmNothing) {
  const fs::path precious = write("precious/config.json", "x");
  fs::create_symlink(precious, cache_.snapshot(kSecond) / "elsewhere.json");
  fs::create_directory_symlink(precious.parent_path(), cache_.snapshot(kSecond) / "folder");
  fs::create_symlink("../../precious/config.json", cache_.blob("link"));
  remove(plan("org/name@main"));
  remove(plan("org/name"));
  EXPECT_TRUE(fs::exists(precious));
}

TEST_F(CachedModels, WhatIsNotThere) {
  expect_error(ErrorCode::kNotFound, {"'org/nmae'", "did you mean 'org/name'?", "llava list"},
               [&] { plan("org/nmae"); });
  expect_error(ErrorCode::kNotFound, {"'v2'", kFirst.c_str(), kSecond.c_str(), "main"},
               [&] { plan("org/name@v2"); });
}

TEST_F(CachedModels, NothingIsTakenFromUnderADownload) {
  const auto lock = FileLock::try_lock(cache_.lock("shared"));
  ASSERT_TRUE(lock);
  expect_error(ErrorCode::kUnavailable, {"'org/name'", "another process"},
               [&] { remove(plan("org/name")); });
  EXPECT_EQ(blobs().size(), 4u);
}

}  // namespace
}  // namespace llava::hub
