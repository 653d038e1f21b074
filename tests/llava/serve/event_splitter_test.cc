// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/client/event_splitter.h"

#include <gtest/gtest.h>

#include <vector>

#include "llava/core/error.h"

namespace llava::serve {
namespace {

using Events = std::vector<std::string>;

Events split(std::string_view body, std::size_t step) {
  EventSplitter splitter;
  Events events;
  for (std::size_t at = 0; at < body.size(); at += step) {
    splitter.push(body.substr(at, step), [&](std::string_view data) { events.emplace_back(data); });
  }
  return events;
}

TEST(EventSplitter, CutsAnywhereGiveTheSameEvents) {
  const std::string body =
      ": hello\n\ndata: {\"a\": \"\xc3\xa9\"}\n\nevent: x\r\nid: 3\r\ndata:one\r\ndata: two\r\n\r\n"
      "data\n\ndatax: no\n\ndata:  two spaces\r\rdata: [DONE]\n\ndata: cut off\n";
  const Events expected = {"{\"a\": \"\xc3\xa9\"}", "one\ntwo", "", " two spaces", "[DONE]"};
  for (std::size_t step = 1; step <= body.size(); ++step) {
    EXPECT_EQ(split(body, step), expected) << step;
  }
}

TEST(EventSplitter, LongEventsAreRefused) {
  EventSplitter splitter(10);
  Events events;
  const auto take = [&](std::string_view data) { events.emplace_back(data); };
  splitter.push("data:12345\n\ndata:1234", take);
  splitter.push("5\n\n", take);
  EXPECT_EQ(events, (Events{"12345", "12345"}));
  EXPECT_THROW(splitter.push("data:123456", take), Error);
  EventSplitter lines(10);
  // Lines of one event count together.
  EXPECT_THROW(lines.push("data:1234\ndata:1234\ndata:1234\n", take), Error);
}

}  // namespace
}  // namespace llava::serve
