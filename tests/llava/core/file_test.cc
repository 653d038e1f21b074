// SPDX-License-Identifier: Apache-2.0
#include "llava/core/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

#include "llava/core/error.h"

namespace llava {
namespace {

class FileTest : public testing::Test {
 protected:
  FileTest() {
    std::string name = (std::filesystem::temp_directory_path() / "llava-file-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~FileTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(std::string_view name, std::string_view content) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return folder_ / name;
  }

  // The error of reading and of mapping `path`, which must agree and name it.
  static void expect_error(const std::filesystem::path& path, ErrorCode code,
                           std::string_view words) {
    const auto check = [&](const auto& open) {
      try {
        open();
        FAIL() << "no error for " << path;
      } catch (const Error& e) {
        const std::string message = e.what();
        EXPECT_EQ(e.code(), code) << message;
        EXPECT_NE(message.find(path.string()), std::string::npos) << message;
        EXPECT_NE(message.find(words), std::string::npos) << message;
      }
    };
    check([&] { read_file(path, 1 << 20); });
    check([&] { MappedFile::open(path); });
  }

  std::filesystem::path folder_;
};

TEST_F(FileTest, ReadsEveryByte) {
  std::string content(100000, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 31 % 256);
  const auto path = write("data.bin", content);
  EXPECT_EQ(read_file(path, content.size()), content);

  const auto mapped = MappedFile::open(path);
  ASSERT_EQ(mapped->bytes().size(), content.size());
  EXPECT_EQ(std::memcmp(mapped->bytes().data(), content.data(), content.size()), 0);
  EXPECT_EQ(mapped->path(), path);
}

TEST_F(FileTest, EmptyFileIsEmpty) {
  const auto path = write("empty", "");
  EXPECT_EQ(read_file(path, 0), "");
  EXPECT_TRUE(MappedFile::open(path)->bytes().empty());
}

TEST_F(FileTest, MissingFile) {
  expect_error(folder_ / "nowhere" / "a.json", ErrorCode::kNotFound, "No such file");
}

TEST_F(FileTest, DirectoryInsteadOfFile) {
  expect_error(folder_, ErrorCode::kBadFormat, "is a directory");
}

TEST_F(FileTest, FifoIsRefusedAndDoesNotHang) {
  const auto path = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  expect_error(path, ErrorCode::kBadFormat, "not a regular file");
}

TEST_F(FileTest, DeviceIsRefused) {
  expect_error("/dev/zero", ErrorCode::kBadFormat, "not a regular file");
}

TEST_F(FileTest, LinkToNothing) {
  const auto path = folder_ / "link";
  std::filesystem::create_symlink(folder_ / "gone", path);
  expect_error(path, ErrorCode::kNotFound, "No such file");
}

TEST_F(FileTest, LimitIsInclusiveAndNamesBothSizes) {
  const auto path = write("ten", "0123456789");
  EXPECT_EQ(read_file(path, 10).size(), 10u);
  try {
    read_file(path, 9);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kBadFormat);
    EXPECT_NE(std::string(e.what()).find("10 bytes, expected at most 9"), std::string::npos)
        << e.what();
  }
}

TEST_F(FileTest, MappingOutlivesTheName) {
  const auto path = write("data", "still here");
  const auto mapped = MappedFile::open(path);
  std::filesystem::remove(path);
  EXPECT_EQ(std::memcmp(mapped->bytes().data(), "still here", 10), 0);
}

TEST_F(FileTest, WriteReplacesWholly) {
  const auto path = write("config.json", "a long old content");
  write_file_atomically(path, "new");
  EXPECT_EQ(read_file(path, 100), "new");
  write_file_atomically(path, "");
  EXPECT_EQ(read_file(path, 100), "");
  // Nothing is left beside it.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(FileTest, WriteIntoMissingFolder) {
  try {
    write_file_atomically(folder_ / "nowhere" / "a", "x");
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kNotFound) << e.what();
  }
}

TEST_F(FileTest, WriteOntoFolderLeavesNothingBehind) {
  const auto path = folder_ / "folder";
  std::filesystem::create_directory(path);
  EXPECT_THROW(write_file_atomically(path, "x"), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(FileTest, FullDiskIsResourceExhausted) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  // The name of the temporary file is known, so it can be made to lead to a full device.
  const auto path = folder_ / "data";
  std::filesystem::create_symlink("/dev/full", path.string() + ".tmp-" + std::to_string(getpid()));
  try {
    write_file_atomically(path, "x");
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kResourceExhausted) << e.what();
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
}  // namespace llava
