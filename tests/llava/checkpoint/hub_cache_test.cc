// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/hub_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "llava/core/random.h"
#include "support/temporary_folder.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr char kCommit[] = "0123456789abcdef0123456789abcdef01234567";
constexpr char kOther[] = "0123456fffffffffffffffffffffffffffffffff";

class HubCache : public llava::testing::TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    for (const char* name :
         {"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"}) {
      ::unsetenv(name);
    }
    ::setenv("HF_HUB_CACHE", folder_.c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("HF_HUB_CACHE");
    TemporaryFolder::TearDown();
  }
  fs::path snapshot(const std::string& commit, const char* file = "config.json") const {
    return write("models--org--name/snapshots/" + commit + "/" + file, "{}").parent_path();
  }
};

TEST(HubName, WhatIsOne) {
  for (const char* text : {"org/name", "org/na.me_1-b", "gpt2", "a/b", "Org0/LLaVA-v1.5-7b"}) {
    const auto name = parse_hub_name(text);
    ASSERT_TRUE(name) << text;
    EXPECT_EQ(name->repo, text);
    EXPECT_EQ(name->revision, "");
    EXPECT_EQ(name->text(), text);
  }
  const auto revision = parse_hub_name("org/name@refs/pr/1");
  ASSERT_TRUE(revision);
  EXPECT_EQ(revision->repo, "org/name");
  EXPECT_EQ(revision->revision, "refs/pr/1");
  EXPECT_EQ(revision->text(), "org/name@refs/pr/1");
  EXPECT_TRUE(revision->has_owner());
  EXPECT_FALSE(parse_hub_name("gpt2")->has_owner());
}

TEST(HubName, WhatIsNone) {
  for (const char* text :
       {"",        "/",       "a/",     "/a",       "./a",     "../a",   "a/b/c",    "a//b",
        "~/a",     "a b/c",   "a\\b",   "-a/b",     "a-/b",    "a/.b",   "a/b.",     "a/b..c",
        "a/b--c",  "a/b.git", "a/b@",   "a/b@..",   "a/b@/x",  "a/b@x/", "a/b@x//y", "a/b@x/../y",
        "a/b@x y", "a/b@-x",  "a/b@.x", "a/b@x/.y", "a/b@x@y", "a/b\n"}) {
    EXPECT_FALSE(parse_hub_name(text)) << text;
  }
  EXPECT_FALSE(parse_hub_name("a/" + std::string(95, 'b')));
}

// Whatever is taken for a name has a folder of its own inside the cache.
TEST(HubName, NamesStayInTheirFolders) {
  constexpr std::string_view kSigns = "ab./-_@~\\ \n$";
  const uint64_t seed = 20261129;
  RecordProperty("seed", std::to_string(seed));
  Generator random(seed);
  int num_names = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (uint64_t length = random.below(12); length > 0; --length) {
      text += kSigns[random.below(kSigns.size())];
    }
    const auto name = parse_hub_name(text);
    if (!name) continue;
    ++num_names;
    EXPECT_EQ(name->text(), text) << "seed " << seed;
    const fs::path folder = fs::path("/cache") / hub_folder_name(name->repo);
    EXPECT_EQ(folder.lexically_normal().parent_path(), "/cache") << text;
    const fs::path ref = folder / "refs" / name->revision;
    EXPECT_TRUE(ref.lexically_normal().string().starts_with((folder / "refs").string())) << text;
  }
  EXPECT_GT(num_names, 1000);
}

TEST(HubFolderName, IsThatOfHuggingfaceHub) {
  EXPECT_EQ(hub_folder_name("org/name"), "models--org--name");
  EXPECT_EQ(hub_folder_name("gpt2"), "models--gpt2");
}

TEST_F(HubCache, TheEnvironmentSaysWhereItIs) {
  EXPECT_EQ(hub_cache(), folder_);
  ::unsetenv("HF_HUB_CACHE");
  ::setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
  EXPECT_EQ(hub_cache(), "/old");
  ::unsetenv("HUGGINGFACE_HUB_CACHE");
  ::setenv("XDG_CACHE_HOME", "/xdg", 1);
  EXPECT_EQ(hub_cache(), "/xdg/huggingface/hub");
  ::setenv("HF_HOME", "/hf", 1);
  EXPECT_EQ(hub_home(), "/hf");
  EXPECT_EQ(hub_cache(), "/hf/hub");
  const std::string home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  ::setenv("HOME", "/home-of-test", 1);
  ::unsetenv("XDG_CACHE_HOME");
  ::setenv("HF_HOME", "~/models", 1);
  EXPECT_EQ(hub_home(), "/home-of-test/models");
  ::unsetenv("HF_HOME");
  EXPECT_EQ(hub_home(), "/home-of-test/.cache/huggingface");
  ::unsetenv("HOME");
  EXPECT_EQ(hub_home(), "");
  EXPECT_EQ(hub_cache(), "");
  EXPECT_EQ(find_in_hub_cache("org/name"), "");
  if (!home.empty()) ::setenv("HOME", home.c_str(), 1);
}

TEST_F(HubCache, VariablesInPaths) {
  ::setenv("LLAVA_TEST_DISK", "/disk", 1);
  ::unsetenv("LLAVA_TEST_NONE");
  EXPECT_EQ(expand_user_path("$LLAVA_TEST_DISK/a"), "/disk/a");
  EXPECT_EQ(expand_user_path("x${LLAVA_TEST_DISK}y"), "x/disky");
  for (const char* text :
       {"$LLAVA_TEST_NONE/a", "${LLAVA_TEST_DISK", "a$", "$", "$$", "~user/a", ""}) {
    EXPECT_EQ(expand_user_path(text), text);
  }
  ::unsetenv("LLAVA_TEST_DISK");
}

TEST_F(HubCache, ReferencesCommitsAndTheirBeginnings) {
  const fs::path first = snapshot(kCommit);
  const fs::path second = snapshot(kOther);
  write("models--org--name/refs/main", std::string(kCommit) + "\n");
  write("models--org--name/refs/refs/pr/1", kOther);
  EXPECT_EQ(find_in_hub_cache("org/name"), first);
  EXPECT_EQ(find_in_hub_cache("org/name@main"), first);
  EXPECT_EQ(find_in_hub_cache("org/name@refs/pr/1"), second);
  EXPECT_EQ(find_in_hub_cache(std::string("org/name@") + kOther), second);
  EXPECT_EQ(find_in_hub_cache("org/name@0123456f"), second);
  EXPECT_EQ(find_in_hub_cache("org/name@0123456"), "");   // both begin so
  EXPECT_EQ(find_in_hub_cache("org/name@0123456a"), "");  // none does
  EXPECT_EQ(find_in_hub_cache("org/name@v2"), "");
  EXPECT_EQ(find_in_hub_cache("org/other"), "");
}

TEST_F(HubCache, WithoutARevisionTheNewestStandsInForMain) {
  const fs::path folder = snapshot("abc");
  EXPECT_EQ(find_in_hub_cache("org/name"), folder);
  EXPECT_EQ(find_in_hub_cache("org/name@main"), "");
  write("models--org--name/refs/main", "../../../elsewhere");
  EXPECT_EQ(find_in_hub_cache("org/name"), folder);
}

TEST_F(HubCache, ASnapshotWithoutAModelIsNone) {
  write("models--org--name/snapshots/abc/README.md", "x");
  EXPECT_EQ(find_in_hub_cache("org/name"), "");
  const fs::path gguf = snapshot("def", "model.Q8_0.gguf");
  EXPECT_EQ(find_in_hub_cache("org/name"), gguf);
}

}  // namespace
}  // namespace llava::checkpoint
