// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/media/media_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "llava/core/error.h"
#include "support/temporary_folder.h"

namespace llava::serve {
namespace {

namespace fs = std::filesystem;

class MediaFolder : public testing::TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    write("media/a b/picture.png", "PNG");
    write("secret", "secret");
    fs::create_symlink(folder_ / "secret", root() / "link");
    fs::create_directory_symlink(folder_, root() / "up");
    ASSERT_EQ(mkfifo((root() / "pipe").c_str(), 0600), 0);
  }
  fs::path root() const { return folder_ / "media"; }
  std::string read(const std::string& path, uint64_t max_bytes = 100) const {
    return read_media_file(root(), "file://" + root().string() + path, max_bytes);
  }
};

TEST_F(MediaFolder, ReadsFilesBelowIt) {
  EXPECT_EQ(read("/a%20b/picture.png"), "PNG");
  EXPECT_EQ(read("/a b/./picture.png"), "PNG");
}

TEST_F(MediaFolder, NothingElse) {
  for (const char* path :
       {"", "/", "/missing", "/a%20b", "/link", "/up/secret", "/../secret", "/%2e%2e/secret",
        "/a%20b/../../secret", "/pipe", "/a%20b/picture.png%00.png"}) {
    EXPECT_THROW(read(path), Error) << path;
  }
  EXPECT_THROW(read("/a%20b/picture.png", 2), Error);
  for (const char* url : {"file:", "file://", "file://host/a", "file:///etc/passwd"}) {
    EXPECT_THROW(read_media_file(root(), url, 100), Error) << url;
  }
  const std::string sibling = "file://" + root().string() + "2/picture.png";
  EXPECT_THROW(read_media_file(root(), sibling, 100), Error);
}

}  // namespace
}  // namespace llava::serve
