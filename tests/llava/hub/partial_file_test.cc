// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/partial_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>
#include <iterator>

#include "llava/checkpoint/expect_error.h"
#include "support/temporary_folder.h"

namespace llava::hub {
namespace {

namespace fs = std::filesystem;
using llava::testing::expect_error;

// Of "hello world\n": by sha256sum, and by git hash-object.
constexpr char kText[] = "hello world\n";
constexpr char kSha256[] = "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447";
constexpr char kGitSha1[] = "3b18e512dba79e4c8300dd08aeb37f8e728b8dad";

class PartialFileTest : public llava::testing::TemporaryFolder {
 protected:
  fs::path partial() const { return folder_ / "content.incomplete"; }
  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
};

TEST_F(PartialFileTest, HashesOfBothKinds) {
  for (const char* hash : {kSha256, kGitSha1}) {
    PartialFile file(partial(), 12, hash);
    file.append("hello ");
    file.append("world\n");
    EXPECT_EQ(file.length(), 12u);
    EXPECT_EQ(file.finish_hash(), hash);
    file.move_to(folder_ / hash);
    EXPECT_EQ(read(folder_ / hash), kText);
    EXPECT_FALSE(fs::exists(partial()));
  }
}

TEST_F(PartialFileTest, WhatIsThereIsPartOfTheHash) {
  write("content.incomplete", "hello ");
  PartialFile file(partial(), 12, kSha256);
  EXPECT_EQ(file.length(), 6u);
  file.append("world\n");
  EXPECT_EQ(file.finish_hash(), kSha256);
}

TEST_F(PartialFileTest, TheLengthOfTheFileIsWhatWasWritten) {
  {
    PartialFile file(partial(), 12, kSha256);
    file.append("hello");
    EXPECT_EQ(fs::file_size(partial()), 5u);
  }
  EXPECT_EQ(PartialFile(partial(), 12, kSha256).length(), 5u);
}

TEST_F(PartialFileTest, BeginningAnew) {
  PartialFile file(partial(), 12, kGitSha1);
  file.append("wrong");
  file.finish_hash();
  file.clear();
  EXPECT_EQ(fs::file_size(partial()), 0u);
  file.append(kText);
  EXPECT_EQ(file.finish_hash(), kGitSha1);
}

TEST_F(PartialFileTest, WhatIsLongerThanItShouldBeBeginsAnew) {
  write("content.incomplete", std::string(100, 'x'));
  EXPECT_EQ(PartialFile(partial(), 12, kSha256).length(), 0u);
  EXPECT_EQ(fs::file_size(partial()), 0u);
}

TEST_F(PartialFileTest, AFullDiskSaysHowMuchIsMissingAndKeepsWhatCame) {
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const std::string bytes(3 << 20, 'x');
  {
    PartialFile file(partial(), 4 << 20, kSha256);
    const struct rlimit limit {
      .rlim_cur = 1 << 20, .rlim_max = before.rlim_max
    };
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    expect_error(ErrorCode::kResourceExhausted,
                 {folder_.string(), "needs 3.0 MiB more", "missing", "llava rm"},
                 [&] { file.append(bytes); });
    EXPECT_EQ(file.length(), 1u << 20);
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(PartialFile(partial(), 4 << 20, kSha256).length(), 1u << 20);
}

TEST_F(PartialFileTest, NoRoomAndNoFolder) {
  require_room(folder_, 1);
  expect_error(ErrorCode::kResourceExhausted, {folder_.string(), "missing"},
               [&] { require_room(folder_, uint64_t{1} << 60); });
  expect_error(ErrorCode::kResourceExhausted, {"nowhere"},
               [&] { PartialFile(folder_ / "nowhere" / "x", 1, kSha256); });
}

}  // namespace
}  // namespace llava::hub
