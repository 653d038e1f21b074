// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/web/conversation_sink.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "llava/core/error.h"
#include "support/loopback_server.h"

namespace llava::serve {
namespace {

using testing::http_answer;
using testing::LoopbackServer;

const OrderedJson kEntry{{"type", "flag"}, {"text", "\xC3\xA9"}};

std::unique_ptr<ConversationSink> open(const WebOptions& options) {
  return open_conversation_sink(options, std::chrono::system_clock::now());
}

TEST(ConversationSink, StandardOutputGetsALineEach) {
  WebOptions options;
  options.log_sink = "stdout";
  const auto sink = open(options);
  ::testing::internal::CaptureStdout();
  sink->append(kEntry, {});
  sink->append(kEntry, {});
  const std::string line = "{\"type\": \"flag\", \"text\": \"\\u00e9\"}\n";
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), line + line);
  const image::RgbImage picture(image::ImageSize{2, 1});
  EXPECT_EQ(sink->save_picture(picture, {}), picture_name(picture));
}

TEST(ConversationSink, AServiceGetsADocumentEach) {
  int count = 0;
  std::string status = "200 OK";
  const LoopbackServer service([&](const std::string& path) {
    EXPECT_EQ(path, "/lines?source=llava");
    ++count;
    return http_answer(status, "");
  });
  WebOptions options;
  options.log_sink = "http";
  options.log_sink_url = service.address("/lines?source=llava");
  const auto sink = open(options);
  sink->append(kEntry, {});
  EXPECT_EQ(count, 1);
  status = "503 Service Unavailable";
  try {
    sink->append(kEntry, {});
    ADD_FAILURE() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_NE(std::string(error.what()).find("status 503"), std::string::npos) << error.what();
  }
}

TEST(ConversationSink, NothingIsKeptUnlessTheOptionsSaySo) {
  EXPECT_EQ(open({}), nullptr);
  WebOptions options;
  options.log_sink = "stdout";
  options.no_conv_log = true;
  EXPECT_EQ(open(options), nullptr);
  options.log_sink = "http";
  EXPECT_THROW(open(options), Error);
  options.log_sink = "file";
  options.log_sink_url = "http://127.0.0.1:1/";
  EXPECT_THROW(open(options), Error);
}

}  // namespace
}  // namespace llava::serve
