// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/request_body.h"

#include <gtest/gtest.h>

namespace llava::serve {
namespace {

constexpr uint64_t kLimit = 100;

struct Outcome {
  int status = 200;
  bool is_done = false;
  std::string body;
  std::string rest;
};

/// Feeds `bytes` in steps of `step`, as a connection does: what was not taken comes again.
Outcome feed(const std::string& headers, const std::string& bytes, std::size_t step) {
  const std::string head_bytes = "POST / HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n";
  const RequestHead head = std::get<RequestHead>(parse_request_head(head_bytes));
  RequestBody body(head, head_bytes, kLimit);
  std::string waiting;
  std::size_t at = 0;
  while (!body.is_done() && !body.error() && at < bytes.size()) {
    waiting += bytes.substr(at, step);
    at += step;
    while (const std::size_t count = body.consume(waiting)) waiting.erase(0, count);
  }
  Outcome outcome{.status = body.error() ? body.error()->status : 200, .is_done = body.is_done()};
  if (body.is_done()) outcome.body = body.take();
  outcome.rest = waiting;
  return outcome;
}

const char* const kChunked = "Transfer-Encoding: chunked\r\n";

TEST(RequestBody, KnownLength) {
  for (std::size_t step = 1; step < 20; ++step) {
    const Outcome outcome = feed("Content-Length: 5\r\n", "helloGET", step);
    EXPECT_TRUE(outcome.is_done);
    EXPECT_EQ(outcome.body, "hello");
    EXPECT_TRUE(std::string("GET").starts_with(outcome.rest));
  }
}

TEST(RequestBody, NoBody) {
  EXPECT_TRUE(feed("", "", 1).is_done);
  EXPECT_TRUE(feed("Content-Length: 0\r\n", "", 1).is_done);
}

TEST(RequestBody, TooLargeByItsLength) {
  EXPECT_EQ(feed("Content-Length: 101\r\n", "", 1).status, 413);
  EXPECT_EQ(feed("Content-Length: 100\r\n", "", 1).status, 200);
}

TEST(RequestBody, ChunksAtEveryBorder) {
  const std::string bytes = "5\r\nhello\r\nA;name=value\r\n0123456789\r\n0\r\n\r\n";
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    const Outcome outcome = feed(kChunked, bytes, step);
    EXPECT_EQ(outcome.status, 200) << step;
    EXPECT_TRUE(outcome.is_done) << step;
    EXPECT_EQ(outcome.body, "hello0123456789") << step;
  }
}

TEST(RequestBody, ChunkedTooLarge) {
  EXPECT_EQ(feed(kChunked, "65\r\n" + std::string(101, 'x') + "\r\n0\r\n\r\n", 7).status, 413);
  EXPECT_EQ(feed(kChunked, "ffffffffffffffff\r\nx", 7).status, 413);
}

TEST(RequestBody, BadChunks) {
  for (const char* chunks :
       {"xyz\r\n", "-1\r\n", "5\r\nhelloX\r\n", "\r\n", " 5\r\nhello\r\n", "fffffffffffffffff\r\nx",
        "0x5\r\nhello\r\n", "5 x\r\nhello\r\n", "0x\r\n", "5\nhello\r\n"}) {
    // Whatever follows, nothing of it is taken for the end of a body.
    const std::string bytes = std::string(chunks) + "0\r\n\r\n0\r\n\r\n";
    for (std::size_t step = 1; step <= bytes.size(); ++step) {
      const Outcome outcome = feed(kChunked, bytes, step);
      EXPECT_TRUE(outcome.status == 400 || outcome.status == 413)
          << chunks << outcome.status << " at steps of " << step << " " << outcome.body;
      EXPECT_FALSE(outcome.is_done) << chunks;
    }
  }
}

}  // namespace
}  // namespace llava::serve
