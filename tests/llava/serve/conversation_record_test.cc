// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/web/conversation_record.h"

#include <gtest/gtest.h>

#include "llava/serve/legacy/wire_json.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

const char* const kMessages =
    R"([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}},
                                     {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": "A volcano \ud83c\udf0b"}])";

std::string request(const std::string& fields = {}) {
  return fmt::format(R"({{"model": "m", "messages": {}{}}})", kMessages, fields);
}

ConversationRecord read(const std::string& body) {
  return read_conversation_record(parse_body(body), {});
}

RecordOrigin origin(const std::string& conv_mode) {
  return {.time = 1700000000.12345,
          .address = "192.0.2.7",
          .conv_modes = {conv_mode, conv_mode},
          .images = {"abc"}};
}

TEST(ConversationRecord, AChatHasTheOriginalsFieldsInTheirOrder) {
  const ConversationRecord record = read(fmt::format(
      R"({{"type": "chat", "requests": [{}], "seconds": 2.5, "request_id": "r",
          "finish_reason": "stop"}})",
      request(R"(, "temperature": 0.2, "max_tokens": 64, "seed": 7, "stream": true)")));
  EXPECT_EQ(
      record_json(log_entry(record, origin("llava_v1"))),
      R"({"tstamp": 1700000000.1235, "type": "chat", "model": "m", )"
      R"("start": 1699999997.6235, "finish": 1700000000.1235, "state": {"system": )"
      R"("A chat between a curious human and an artificial intelligence assistant. The assistant )"
      R"(gives helpful, detailed, and polite answers to the human's questions.", )"
      R"("roles": ["USER", "ASSISTANT"], "messages": [["USER", "What is it?\n<image>"], )"
      R"(["ASSISTANT", "A volcano \ud83c\udf0b"]], "offset": 0, "sep": " ", "sep2": "</s>"}, )"
      R"("images": ["abc"], "ip": "192.0.2.7", "request_id": "r", "params": {"temperature": 0.2, )"
      R"("top_p": null, "max_new_tokens": 64, "seed": 7, "top_k": null, "stop": [], )"
      R"("image_aspect_ratio": ""}, "finish_reason": "stop"})");
}

TEST(ConversationRecord, AVoteIsShortAndAnArenasHasBothSides) {
  const ConversationRecord vote =
      read(fmt::format(R"({{"type": "flag", "requests": [{}]}})", request()));
  const std::string line = record_json(log_entry(vote, origin("")));
  EXPECT_TRUE(line.starts_with(R"({"tstamp": 1700000000.1235, "type": "flag", "model": "m", )"
                               R"("state": {"system": "", "roles": ["user", "assistant"], )"))
      << line;
  EXPECT_TRUE(line.ends_with(R"("offset": 0, "sep": "", "sep2": null}, "ip": "192.0.2.7"})"))
      << line;

  const ConversationRecord arena =
      read(fmt::format(R"({{"type": "leftvote", "requests": [{0}, {0}]}})", request()));
  const OrderedJson entry = log_entry(arena, origin("llava_v1"));
  EXPECT_EQ(entry["models"], OrderedJson::array({"m", "m"}));
  EXPECT_EQ(entry["states"].size(), 2u);
  EXPECT_EQ(entry["states"][1]["messages"][0][1], "What is it?\n<image>");
}

TEST(ConversationRecord, ExamplesOfTheTemplateAndTheClientsSystemTextAreThere) {
  const ConversationRecord record = read(
      R"({"type": "upvote", "requests": [{"model": "m", "messages": [
          {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
          {"role": "assistant", "content": "Yes"}]}]})");
  const OrderedJson entry = log_entry(record, origin("v0"));
  EXPECT_EQ(entry["state"]["system"], "Be brief.");
  EXPECT_EQ(entry["state"]["offset"], 2);
  EXPECT_EQ(entry["state"]["messages"].size(), 4u);
  EXPECT_EQ(entry["state"]["messages"][3][1], "Yes");
}

TEST(ConversationRecord, WhatIsWrongIsNamed) {
  const auto message_of = [](const std::string& body) -> std::string {
    try {
      read(body);
    } catch (const ApiError& error) {
      EXPECT_EQ(error.status(), 400);
      return error.what();
    }
    return "nothing was wrong";
  };
  const auto with = [](const std::string& type, const std::string& requests,
                       const std::string& more = {}) {
    return fmt::format(R"({{"type": "{}", "requests": {}{}}})", type, requests, more);
  };
  const std::string one = fmt::format("[{}]", request());
  EXPECT_EQ(message_of(with("chat", one)), "nothing was wrong");
  const std::vector<std::pair<std::string, std::string>> cases{
      {"{}", "type: expected chat"},
      {with("love", one), "found 'love'"},
      {R"({"type": "chat"})", "requests: is missing"},
      {with("chat", "{}"), "requests: expected a list"},
      {with("chat", "[]"), "requests: 0 requests, expected 1 for 'chat'"},
      {with("tievote", one), "requests: 1 requests, expected 2 for 'tievote'"},
      {with("chat", "[1]"), "requests[0]: expected an object, found a number"},
      {with("chat", "[{}]"), "messages: is missing"},
      {with("chat", R"([{"messages": [{"role": "user", "content": "a"}]}])"),
       "continue_final_message"},
      {with("chat", R"([{"messages": [{"role": "user", "content": "a"},
                                      {"role": "assistant", "content": "b"}]}])"),
       "requests[0].model: is missing"},
      {with("chat", fmt::format("[{}]", request(R"(, "colour": 1)"))),
       "requests[0].colour: is not known"},
      {with("chat", one, R"(, "tstamp": 1)"), "tstamp: is not known"},
      {with("chat", one, R"(, "seconds": -1)"), "seconds: expected 0 to"},
      {with("flag", one, R"(, "seconds": 1)"), "seconds: is not known"},
      {with("chat", one, fmt::format(R"(, "request_id": "{:x>129}")", "")),
       "request_id: 129 bytes"},
  };
  for (const auto& [body, message] : cases) {
    EXPECT_NE(message_of(body).find(message), std::string::npos) << body << "\n"
                                                                 << message_of(body);
  }
}

}  // namespace
}  // namespace llava::serve
