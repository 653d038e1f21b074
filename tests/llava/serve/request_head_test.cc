// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/request_head.h"

#include <gtest/gtest.h>

namespace llava::serve {
namespace {

RequestHead parse(const std::string& head) {
  auto parsed = parse_request_head(head);
  if (const auto* error = std::get_if<HeadError>(&parsed)) {
    ADD_FAILURE() << error->status << " " << error->message << "\n" << head;
    return {};
  }
  return std::get<RequestHead>(parsed);
}

int status_of(const std::string& head) {
  const auto parsed = parse_request_head(head);
  const auto* error = std::get_if<HeadError>(&parsed);
  return error != nullptr ? error->status : 200;
}

TEST(RequestHead, ReadsLineHeadersAndTarget) {
  const RequestHead head = parse(
      "POST /v1/models/a%2Fb%20c?x=1&y=%41+b HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n"
      "X-Thing:  v \r\n\r\n");
  EXPECT_EQ(head.request.method, "POST");
  EXPECT_EQ(head.request.path, "/v1/models/a/b c");
  EXPECT_EQ(head.request.query_value("x"), "1");
  EXPECT_EQ(head.request.query_value("y"), "A b");
  EXPECT_EQ(head.request.query_value("z"), std::nullopt);
  EXPECT_EQ(head.request.header("x-thing"), "v");
  EXPECT_EQ(head.content_length, 12u);
  EXPECT_TRUE(head.keeps_alive);
  EXPECT_TRUE(head.has_body());
}

TEST(RequestHead, KeepsAliveAsTheVersionSays) {
  EXPECT_FALSE(parse("GET / HTTP/1.0\r\n\r\n").keeps_alive);
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keeps_alive);
  EXPECT_FALSE(parse("GET / HTTP/1.1\r\nHost: h\r\nConnection: x, close\r\n\r\n").keeps_alive);
}

TEST(RequestHead, ChunkedBodiesHaveNoLength) {
  const RequestHead head =
      parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_TRUE(head.is_chunked);
  EXPECT_EQ(head.content_length, std::nullopt);
}

TEST(RequestHead, AbsoluteTargets) {
  EXPECT_EQ(parse("GET http://h:1/a?b HTTP/1.1\r\nHost: h\r\n\r\n").request.path, "/a");
  EXPECT_EQ(parse("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n").request.path, "/");
  EXPECT_EQ(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").request.path, "*");
}

// What two servers in a row could take for requests of different length (RFC 9112, section 11.2).
TEST(RequestHead, RefusesWhatCouldSmuggle) {
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
  for (const char* headers : {
           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
           "Content-Length: 5\r\nContent-Length: 6\r\n",
           "Content-Length: 5, 6\r\n",
           "Content-Length: +5\r\n",
           "Content-Length: -1\r\n",
           "Content-Length: 0x5\r\n",
           "Content-Length: 5 5\r\n",
           "Content-Length: 99999999999999999999\r\n",
           "Content-Length:\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding : chunked\r\n",
           "Content-Length : 5\r\n",
           " Content-Length: 5\r\n",
           "X: a\r\n b: c\r\n",
           "X: a\r\n\tb\r\n",
           "X: a\nContent-Length: 5\r\n",
           "X: a\rContent-Length: 5\r\n",
           "X: a\x01\r\n",
           "Host: other\r\n",
           "no colon\r\n",
           ": no name\r\n",
       }) {
    EXPECT_EQ(status_of(post + headers + "\r\n"), 400) << headers;
  }
  EXPECT_EQ(status_of(post + std::string("X: a\0b\r\n\r\n", 10)), 400);
  EXPECT_EQ(status_of(post + "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501);
  EXPECT_EQ(status_of(post + "Transfer-Encoding: xchunked\r\n\r\n"), 501);
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(RequestHead, RefusesOtherNonsense) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400) << "no Host";
  EXPECT_EQ(status_of("GET x HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(status_of("\x16\x03\x01\r\n\r\n"), 400);
  EXPECT_NE(status_of("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 200);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\n\r\n"), 417);
  EXPECT_EQ(status_of("GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n"), 414);
}

TEST(RequestHead, BoundsHeaders) {
  const auto with_headers = [](int count) {
    std::string head = "GET / HTTP/1.1\r\nHost: h\r\n";
    for (int i = 1; i < count; ++i) head += "X: y\r\n";
    return head + "\r\n";
  };
  EXPECT_EQ(status_of(with_headers(100)), 200);
  EXPECT_EQ(status_of(with_headers(101)), 431);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(40000, 'a') + "\r\n\r\n"),
            431);
}

}  // namespace
}  // namespace llava::serve
