// SPDX-License-Identifier: Apache-2.0
#include "llava/core/log.h"

#include <gtest/gtest.h>

#include <regex>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/core/progress.h"

namespace llava {
namespace {

class LogTest : public testing::Test {
 protected:
  ~LogTest() override { configure_log("warning", false); }

  template <class Action>
  static std::string written(const Action& action) {
    testing::internal::CaptureStderr();
    action();
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(LogTest, TextLineQuotesWhatNeedsIt) {
  configure_log("info", false);
  EXPECT_EQ(written([] {
              log_info("model_loaded", {{"tensors", 12},
                                        {"path", "a b"},
                                        {"empty", ""},
                                        {"quote", "say \"hi\"\n"},
                                        {"plain", "x/y"}});
            }),
            "info: model_loaded tensors=12 path=\"a b\" empty=\"\" quote=\"say \\\"hi\\\"\\n\" "
            "plain=x/y\n");
}

TEST_F(LogTest, JsonLineIsOneObject) {
  configure_log("debug", true);
  const std::string line = written([] {
    log_error("failed", {{"message", "line one\nline two"}, {"bad", std::string("\xFF")}});
  });
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const Json json = parse_json(line, "log");
  EXPECT_TRUE(
      std::regex_match(json["time"].get<std::string>(),
                       std::regex(R"(20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d\.\d{3}Z)")));
  EXPECT_EQ(json["level"], "error");
  EXPECT_EQ(json["event"], "failed");
  EXPECT_EQ(json["message"], "line one\nline two");
}

TEST_F(LogTest, LevelIsAThreshold) {
  configure_log("warning", false);
  EXPECT_EQ(written([] { log_info("hidden"); }), "");
  EXPECT_EQ(written([] { log_debug("hidden"); }), "");
  EXPECT_EQ(written([] { log_warning("shown"); }), "warning: shown\n");
  configure_log("off", false);
  EXPECT_EQ(written([] { log_error("hidden"); }), "");
}

TEST_F(LogTest, UnknownLevelIsAnInvalidArgument) {
  try {
    configure_log("loud", false);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(e.what()).find("'loud'"), std::string::npos);
  }
}

TEST_F(LogTest, ProgressIsSilentWithoutATerminal) {
  EXPECT_EQ(written([] {
              ProgressBar bar("loading");
              bar.update(1, 2);
              bar.update(2, 2);
            }),
            "");
}

}  // namespace
}  // namespace llava
