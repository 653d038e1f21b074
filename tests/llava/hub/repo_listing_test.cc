// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/repo_listing.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "llava/checkpoint/expect_error.h"
#include "llava/core/random.h"

namespace llava::hub {
namespace {

using llava::testing::expect_error;

const std::string kCommit(40, 'a');
const std::string kSha1(40, 'b');
const std::string kSha256(64, 'c');

RepoListing parse(const std::string& files, const std::string& commit = kCommit) {
  return parse_repo_listing(fmt::format(R"({{"sha":"{}","siblings":[{}]}})", commit, files),
                            "listing");
}

TEST(RepoListing, SmallAndLargeFiles) {
  const auto listing = parse(fmt::format(
      R"({{"rfilename":"config.json","size":5,"blobId":"{}"}},
         {{"rfilename":"a/b.bin","size":134,"blobId":"{}","lfs":{{"sha256":"{}","size":9000000000}}}},
         {{"rfilename":"old.bin","lfs":{{"oid":"{}","size":7}}}},
         {{"rfilename":"README.md"}})",
      kSha1, kSha1, kSha256, kSha256));
  EXPECT_EQ(listing.commit, kCommit);
  ASSERT_EQ(listing.files.size(), 4u);
  EXPECT_EQ(listing.files[0].path, "config.json");
  EXPECT_EQ(listing.files[0].size, 5u);
  EXPECT_EQ(listing.files[0].blob, kSha1);
  EXPECT_EQ(listing.files[1].size, 9'000'000'000u);
  EXPECT_EQ(listing.files[1].blob, kSha256);
  EXPECT_EQ(listing.files[2].blob, kSha256);
  EXPECT_FALSE(listing.files[3].size);
  EXPECT_EQ(listing.files[3].blob, "");
}

TEST(RepoListing, WhatIsNoListing) {
  for (const std::string& text : {std::string("not JSON"), std::string("[]"), std::string("{}"),
                                  fmt::format(R"({{"sha":"{}"}})", kCommit),
                                  fmt::format(R"({{"sha":"{}","siblings":{{}}}})", kCommit),
                                  fmt::format(R"({{"sha":"{}","siblings":[1]}})", kCommit),
                                  std::string(R"({"sha":"main","siblings":[]})")}) {
    expect_error(ErrorCode::kBadFormat, {"listing"}, [&] { parse_repo_listing(text, "listing"); });
  }
  expect_error(ErrorCode::kBadFormat, {"size"}, [&] { parse(R"({"rfilename":"a","size":-1})"); });
  expect_error(ErrorCode::kBadFormat, {"size"},
               [&] { parse(R"({"rfilename":"a","size":99999999999999999})"); });
  expect_error(ErrorCode::kBadFormat, {"blobId"},
               [&] { parse(R"({"rfilename":"a","blobId":"../../x"})"); });
  expect_error(ErrorCode::kBadFormat, {"sha256"},
               [&] { parse(R"({"rfilename":"a","lfs":{"sha256":"ABC"}})"); });
  expect_error(ErrorCode::kBadFormat, {"twice", "'a'"},
               [&] { parse(R"({"rfilename":"a"},{"rfilename":"a"})"); });
}

TEST(RepoListing, HostileNamesAreRefused) {
  for (const char* name : {"../x", "a/../../x", "/etc/x", "a//b", "a/", "", ".", "a/./b", "a\\\\b",
                           "a\\u0000b", "a\\nb", "a\\u001b[2Jb", "a\\u007fb"}) {
    expect_error(ErrorCode::kBadFormat, {"rfilename"},
                 [&] { parse(fmt::format(R"({{"rfilename":"{}"}})", name)); });
  }
  EXPECT_FALSE(is_safe_repo_path(std::string(256, 'a')));
  EXPECT_FALSE(is_safe_repo_path(std::string(2000, 'a')));
  EXPECT_TRUE(is_safe_repo_path("a b/c..d/...e"));
}

TEST(RepoListing, SafePathsStayInTheirFolder) {
  constexpr std::string_view kSigns = "a./\\\n ";
  const uint64_t seed = 411;
  RecordProperty("seed", std::to_string(seed));
  Generator random(seed);
  int num_safe = 0;
  for (int i = 0; i < 100'000; ++i) {
    std::string path;
    for (uint64_t length = random.below(10); length > 0; --length) {
      path += kSigns[random.below(kSigns.size())];
    }
    if (!is_safe_repo_path(path)) continue;
    ++num_safe;
    const std::filesystem::path place = std::filesystem::path("/cache") / path;
    EXPECT_EQ(place.lexically_normal(), place) << "seed " << seed << ": " << path;
  }
  EXPECT_GT(num_safe, 1000);
}

}  // namespace
}  // namespace llava::hub
