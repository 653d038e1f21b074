// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/web/conversation_log.h"

#include <gtest/gtest.h>

#include <ctime>
#include <fstream>
#include <span>
#include <thread>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/image/decode.h"

namespace llava::serve {
namespace {

namespace fs = std::filesystem;

/// Noon of a local day.
ConversationLog::Time noon(int year, int month, int day) {
  std::tm parts{};
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  parts.tm_mday = day;
  parts.tm_hour = 12;
  parts.tm_isdst = -1;
  return std::chrono::system_clock::from_time_t(std::mktime(&parts));
}

class ConversationLogTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::remove_all(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  std::string text_of(const std::string& name) const { return read_file(folder_ / name, 1 << 20); }
  void touch(const std::string& name) const {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << "x";
  }

  fs::path folder_ =
      fs::path(::testing::TempDir()) /
      (std::string("llava-log-") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(ConversationLogTest, EachLocalDayHasItsFileOfEscapedLines) {
  ConversationLog log(folder_ / "a/b", 0, noon(2024, 2, 28));
  log.append({{"type", "chat"}, {"text", "\xF0\x9F\x8C\x8B\n"}}, noon(2024, 2, 28));
  log.append({{"type", "flag"}}, noon(2024, 2, 28));
  log.append({{"type", "chat"}}, noon(2024, 2, 29));
  EXPECT_EQ(text_of("a/b/2024-02-28-conv.json"),
            "{\"type\": \"chat\", \"text\": \"\\ud83c\\udf0b\\n\"}\n{\"type\": \"flag\"}\n");
  EXPECT_EQ(text_of("a/b/2024-02-29-conv.json"), "{\"type\": \"chat\"}\n");
  EXPECT_EQ(fs::status(folder_ / "a/b").permissions(), fs::perms::owner_all);
  EXPECT_EQ(fs::status(folder_ / "a/b/2024-02-29-conv.json").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(ConversationLogTest, PicturesHaveTheNameOfSizeAndPixelsAndAreNeverOverwritten) {
  const auto now = noon(2024, 2, 28);
  ConversationLog log(folder_, 0, now);
  image::RgbImage wide({4, 2});
  wide.pixels[5] = 200;
  image::RgbImage narrow({2, 4});
  narrow.pixels = wide.pixels;
  const std::string name = log.save_picture(wide, now);
  EXPECT_NE(log.save_picture(narrow, now), name);
  const std::string path = "serve_images/2024-02-28/" + name + ".png";
  const std::string png = text_of(path);
  EXPECT_EQ(image::decode(std::as_bytes(std::span(png)), path).pixels, wide.pixels);
  touch(path);
  EXPECT_EQ(log.save_picture(wide, now), name);
  EXPECT_EQ(text_of(path), "x");
}

TEST_F(ConversationLogTest, WhatIsTooOldIsRemovedWhenADayBegins) {
  const std::vector<std::string> foreign{"2000-01-01", "2000-01-01-conv.json.bak", "notes.txt",
                                         "2000-1-1-conv.json", "serve_images/other/x.png"};
  for (const std::string& name : foreign) touch(name);
  touch("2024-02-26-conv.json");
  touch("2024-02-27-conv.json");
  touch("serve_images/2024-02-26/x.png");
  touch("serve_images/2024-02-27/x.png");
  ConversationLog log(folder_, 2, noon(2024, 2, 29));
  EXPECT_FALSE(fs::exists(folder_ / "2024-02-26-conv.json"));
  EXPECT_FALSE(fs::exists(folder_ / "serve_images/2024-02-26"));
  EXPECT_TRUE(fs::exists(folder_ / "2024-02-27-conv.json"));
  EXPECT_TRUE(fs::exists(folder_ / "serve_images/2024-02-27/x.png"));
  log.append({{"type", "chat"}}, noon(2024, 3, 1));
  EXPECT_FALSE(fs::exists(folder_ / "2024-02-27-conv.json"));
  EXPECT_FALSE(fs::exists(folder_ / "serve_images/2024-02-27"));
  for (const std::string& name : foreign) EXPECT_TRUE(fs::exists(folder_ / name)) << name;
}

TEST_F(ConversationLogTest, ThreadsDoNotMixTheirLinesOrPictures) {
  const auto now = noon(2024, 2, 28);
  ConversationLog log(folder_, 0, now);
  const std::string text(5000, 'a');
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 50; ++n) {
          log.append({{"text", text}}, now);
          log.save_picture(image::RgbImage({8, 1 + n % 3}), now);
        }
      });
    }
  }
  const std::string all = text_of("2024-02-28-conv.json");
  const std::string line = "{\"text\": \"" + text + "\"}\n";
  ASSERT_EQ(all.size(), 200 * line.size());
  for (std::size_t at = 0; at < all.size(); at += line.size()) {
    ASSERT_EQ(all.compare(at, line.size(), line), 0);
  }
  const fs::directory_iterator pictures(folder_ / "serve_images/2024-02-28");
  EXPECT_EQ(std::distance(fs::begin(pictures), fs::end(pictures)), 3);
}

TEST_F(ConversationLogTest, AFolderThatCannotBeIsNamed) {
  touch("file");
  try {
    const ConversationLog log(folder_ / "file", 0, noon(2024, 2, 28));
    FAIL() << "a file is no folder";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(error.what()).find((folder_ / "file").string()), std::string::npos);
  }
}

TEST(AnonymizedAddress, KeepsTheNetwork) {
  EXPECT_EQ(anonymized_address("192.0.2.123"), "192.0.2.0");
  EXPECT_EQ(anonymized_address("2001:db8:1:2:3:4:5:6"), "2001:db8:1::");
  EXPECT_EQ(anonymized_address("::ffff:192.0.2.123"), "::ffff:192.0.2.0");
  EXPECT_EQ(anonymized_address("localhost"), "");
}

}  // namespace
}  // namespace llava::serve
