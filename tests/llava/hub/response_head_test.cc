// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/response_head.h"

#include <gtest/gtest.h>

namespace llava::hub {
namespace {

ResponseHead read(std::initializer_list<const char*> lines) {
  ResponseHead head;
  for (const char* line : lines) head.add_line(line);
  return head;
}

TEST(ResponseHead, FieldsOfARedirectToALargeFile) {
  const auto head = read({"HTTP/1.1 302 Found\r\n", "ETag: W/\"small\"\r\n",
                          "x-linked-etag: \"large\"\r\n", "X-Linked-Size: 9000000000\r\n",
                          "Content-Length: 120\r\n", "X-Repo-Commit: abc\r\n", "\r\n"});
  EXPECT_EQ(head.status, 302);
  EXPECT_EQ(head.etag, "small");
  EXPECT_EQ(head.blob(), "large");
  EXPECT_EQ(head.file_size(), 9'000'000'000u);
  EXPECT_EQ(head.commit, "abc");
}

TEST(ResponseHead, AStatusLineBeginsAnew) {
  const auto head =
      read({"HTTP/1.1 100 Continue", "ETag: \"x\"", "HTTP/2 200", "Content-Length: 7"});
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.etag, "");
  EXPECT_EQ(head.blob(), "");
  EXPECT_EQ(head.file_size(), 7u);
}

TEST(ResponseHead, Ranges) {
  const auto head = read({"HTTP/1.1 206 Partial Content", "Content-Range: bytes 5-9/100"});
  ASSERT_TRUE(head.content_range);
  EXPECT_EQ(head.content_range->begin, 5u);
  EXPECT_EQ(head.content_range->end, 10u);
  EXPECT_EQ(head.content_range->size, 100u);
  const auto open = read({"HTTP/1.1 206 x", "Content-Range: bytes 0-0/*"});
  ASSERT_TRUE(open.content_range);
  EXPECT_FALSE(open.content_range->size);
  for (const char* line :
       {"Content-Range: bytes 9-5/100", "Content-Range: bytes 5-9/9",
        "Content-Range: items 5-9/100", "Content-Range: bytes 5-/100",
        "Content-Range: bytes -9/100", "Content-Range: bytes", "Content-Range: bytes 5/9-100",
        "Content-Range: bytes 0-18446744073709551615/*", "Content-Range: bytes 1 - 2/3"}) {
    EXPECT_FALSE(read({"HTTP/1.1 206 x", line}).content_range) << line;
  }
}

TEST(ResponseHead, PatienceInSecondsOrUntilADate) {
  EXPECT_EQ(read({"Retry-After: 7"}).retry_after, std::chrono::seconds(7));
  EXPECT_EQ(read({"Retry-After: Wed, 21 Oct 2015 07:28:00 GMT"}).retry_after,
            std::chrono::seconds(0));
  EXPECT_GT(read({"Retry-After: Wed, 21 Oct 2099 07:28:00 GMT"})
                .retry_after.value_or(std::chrono::seconds(0)),
            std::chrono::seconds(1000));
  EXPECT_FALSE(read({"Retry-After: soon"}).retry_after);
}

TEST(ResponseHead, WhatMakesNoSenseIsNothing) {
  const auto head = read({"HTTP/1.1", "no colon", ": empty", "Content-Length: many",
                          "X-Linked-Size: -1", "Content-Length", "X-Error-Code:   GatedRepo  "});
  EXPECT_EQ(head.status, 0);
  EXPECT_FALSE(head.content_length);
  EXPECT_FALSE(head.linked_size);
  EXPECT_EQ(head.error_code, "GatedRepo");
}

}  // namespace
}  // namespace llava::hub
