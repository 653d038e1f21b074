// SPDX-License-Identifier: Apache-2.0
#include "llava/core/log_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <utime.h>

#include <regex>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/log.h"
#include "support/temporary_folder.h"

namespace llava {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::sys_days;

const LogFile::Time kNoon = sys_days(std::chrono::year(2026) / 3 / 1) + hours(12);

class LogFileTest : public testing::TemporaryFolder {
 protected:
  LogFileOptions options(int32_t keep_days = 30) const {
    return {.folder = folder_ / "logs", .file = "a.log", .family = "a.log", .keep_days = keep_days};
  }
  std::string text(const std::string& name) const {
    return read_file(folder_ / "logs" / name, 1 << 20);
  }
  bool exists(const std::string& name) const { return fs::exists(folder_ / "logs" / name); }
  void make(const std::string& name, LogFile::Time time) const {
    fs::create_directories(folder_ / "logs");
    const fs::path path = folder_ / "logs" / name;
    write("logs/" + name, name + "\n");
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    const utimbuf times{.actime = seconds, .modtime = seconds};
    ASSERT_EQ(::utime(path.c_str(), &times), 0);
  }
};

TEST_F(LogFileTest, ADayThatHasEndedGetsItsDate) {
  LogFile log(options(), kNoon);
  log.write("one", kNoon);
  log.write("two", kNoon + hours(11));
  log.write("three", kNoon + hours(13));
  EXPECT_EQ(text("a.log.2026-03-01"), "one\ntwo\n");
  EXPECT_EQ(text("a.log"), "three\n");
  log.write("four", kNoon + hours(72));
  EXPECT_EQ(text("a.log.2026-03-02"), "three\n");
  EXPECT_EQ(text("a.log"), "four\n");
}

TEST_F(LogFileTest, AProcessThatBeginsGoesOnWithTheDay) {
  make("a.log", kNoon - hours(1));
  LogFile(options(), kNoon).write("more", kNoon);
  EXPECT_EQ(text("a.log"), "a.log\nmore\n");
  make("a.log", kNoon - hours(24));
  LogFile(options(), kNoon).write("new", kNoon);
  EXPECT_EQ(text("a.log.2026-02-28"), "a.log\n");
  EXPECT_EQ(text("a.log"), "new\n");
}

TEST_F(LogFileTest, WhatIsTooOldGoes) {
  make("a.log.2026-02-20", kNoon - hours(9 * 24));
  make("a.log.2026-02-27", kNoon - hours(2 * 24));
  make("b.log.2026-02-20", kNoon - hours(9 * 24));
  make("a.log.txt", kNoon - hours(2 * 24));
  LogFile log(options(7), kNoon);
  EXPECT_FALSE(exists("a.log.2026-02-20"));
  EXPECT_TRUE(exists("a.log.2026-02-27"));
  // Of another program.
  EXPECT_TRUE(exists("b.log.2026-02-20"));
  log.write("later", kNoon + hours(6 * 24));
  EXPECT_FALSE(exists("a.log.2026-02-27"));
  make("a.log.2020-01-01", kNoon - hours(24 * 365));
  LogFile forever(options(0), kNoon);
  EXPECT_TRUE(exists("a.log.2020-01-01"));
}

TEST_F(LogFileTest, AFolderThatCannotBeIsNamed) {
  write("logs", "a file");
  try {
    LogFile log(options(), kNoon);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(error.what()).find("logs"), std::string::npos) << error.what();
  }
}

// The form of the original, whose readers know it.
TEST_F(LogFileTest, LinesOfTheProcess) {
  configure_log("warning", false);
  log_to_file(options());
  log_info("hidden");
  log_warning("shown", {{"key", "a value"}});
  log_to_file({});
  log_warning("after");
  EXPECT_TRUE(std::regex_match(
      text("a.log"),
      std::regex(R"(20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \| WARNING \| llava \| shown key="a value")"
                 "\n")))
      << text("a.log");
}

}  // namespace
}  // namespace llava
