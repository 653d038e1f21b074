// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <future>

#include "llava/core/error.h"
#include "llava/core/guarded.h"
#include "llava/serve/moderation/moderated_text.h"
#include "llava/serve/moderation/moderator.h"
#include "llava/serve/protocol/api_error.h"
#include "local_server.h"
#include "support/temporary_folder.h"

namespace llava::serve {
namespace {

using ::testing::HasSubstr;

std::string text_of(const char* body) { return moderated_text(parse_ordered_json(body, "body")); }

TEST(ModeratedText, IsWhateverTheAssistantDidNotSay) {
  EXPECT_EQ(text_of(R"({"messages": [
      {"role": "system", "content": "S"},
      {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}},
                                   {"type": "text", "text": "Q1"}, {"type": "text", "text": "Q2"}]},
      {"role": "assistant", "content": "A"},
      {"role": "user", "content": "\"}, \n{"}]})"),
            "S\nQ1\nQ2\n\"}, \n{");
  EXPECT_EQ(text_of(R"({"prompt": ["one", "two"]})"), "one\ntwo");
  EXPECT_EQ(text_of(R"({"system": "S", "prompt": "P"})"), "S\nP");
  EXPECT_EQ(text_of(R"({"text": ["a", "b"]})"), "a\nb");
}

TEST(ModeratedText, WhatIsMalformedHasNone) {
  for (const char* body :
       {"{}", "[]", R"({"messages": 1})", R"({"messages": [1, {}, {"content": null}]})",
        R"({"prompt": null, "input_ids": null})",
        R"({"messages": [{"content": [{"text": 1}]}]})"}) {
    EXPECT_EQ(text_of(body), "") << body;
  }
}

TEST(ModeratedText, TokenIdsAreRefused) {
  for (const char* body :
       {R"({"prompt": [1, 2]})", R"({"prompt": [[1], [2]]})", R"({"input_ids": [1]})"}) {
    try {
      text_of(body);
      ADD_FAILURE() << body;
    } catch (const ApiError& error) {
      EXPECT_EQ(error.status(), 400);
      EXPECT_EQ(error.code(), "unsupported_parameter");
      EXPECT_THAT(error.what(), HasSubstr("send text"));
    }
  }
}

TEST(ModerationAnswer, SaysItOrNothing) {
  EXPECT_EQ(read_moderation_answer(R"({"results": [{"flagged": true, "categories": {}}]})"), true);
  EXPECT_EQ(read_moderation_answer(R"({"results": [{"flagged": false}]})"), false);
  for (const char* body :
       {"", "{", "[]", "{}", R"({"results": []})", R"({"results": {}})", R"({"results": [1]})",
        R"({"results": [{}]})", R"({"results": [{"flagged": "true"}]})", "<html>"}) {
    EXPECT_EQ(read_moderation_answer(body), std::nullopt) << body;
  }
}

class ModeratorTest : public testing::TemporaryFolder {
 protected:
  /// A service that answers like that, and keeps what it was asked.
  LocalServer service(int status, const std::string& body) {
    return LocalServer([=, this](Router& router) {
      router.add("POST", "/v1/moderations", Access::kOpen, [=, this](const RouteCall& call) {
        asked_.with([&](HttpRequest& asked) { asked = call.request; });
        call.exchange->respond(make_response(status, "application/json", body));
      });
    });
  }
  ModerationOptions options(const std::string& url) const {
    ModerationOptions options;
    options.moderation_url = url;
    options.moderation_key_file = key_file_;
    return options;
  }
  std::optional<bool> verdict(Moderator& moderator, const std::string& text) {
    std::promise<std::optional<bool>> promise;
    moderator.check(text, [&](std::optional<bool> flagged) { promise.set_value(flagged); });
    return promise.get_future().get();
  }
  void SetUp() override {
    testing::TemporaryFolder::SetUp();
    key_file_ = write("key", "secret\n");
    unsetenv("OPENAI_API_KEY");
  }

  std::string key_file_;
  Guarded<HttpRequest> asked_;
  OutgoingHttp http_;
};

TEST_F(ModeratorTest, AsksAsTheServiceWantsIt) {
  const LocalServer server = service(200, R"({"results": [{"flagged": true}]})");
  Moderator moderator(options(server.address() + "/v1/moderations"), http_);
  EXPECT_EQ(verdict(moderator, "a \"quoted\"\n\\ text"), true);
  const HttpRequest asked = asked_.with([](const HttpRequest& request) { return request; });
  EXPECT_EQ(asked.body, R"({"input":"a \"quoted\"\n\\ text"})");
  EXPECT_EQ(asked.header("Authorization"), "Bearer secret");
  EXPECT_EQ(asked.header("Content-Type"), "application/json");
  EXPECT_EQ(moderator.counts().flagged, 1);
}

TEST_F(ModeratorTest, FaultsAreNoVerdict) {
  const LocalServer broken = service(200, "[]");
  const LocalServer failing = service(500, R"({"results": [{"flagged": false}]})");
  std::promise<std::shared_ptr<HttpExchange>> kept;
  const LocalServer slow([&](Router& router) {
    router.add("POST", "/v1/moderations", Access::kOpen,
               [&](const RouteCall& call) { kept.set_value(call.exchange); });
  });
  for (const std::string& address :
       {broken.address(), failing.address(), slow.address(), std::string("http://127.0.0.1:1")}) {
    ModerationOptions some = options(address + "/v1/moderations");
    some.moderation_timeout = 0.2f;
    Moderator moderator(some, http_);
    EXPECT_EQ(verdict(moderator, "x"), std::nullopt) << address;
    EXPECT_EQ(moderator.counts().failed, 1) << address;
  }
  kept.get_future().get()->abort();
}

TEST_F(ModeratorTest, WhatCannotWorkIsSaidAtTheStart) {
  const auto message = [&](const ModerationOptions& some) -> std::string {
    try {
      Moderator moderator(some, http_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  ModerationOptions none;
  EXPECT_THAT(message(none), HasSubstr("OPENAI_API_KEY"));
  setenv("OPENAI_API_KEY", "mine", 1);
  EXPECT_EQ(message(none), "");
  unsetenv("OPENAI_API_KEY");
  none.moderation_key_file = folder_ / "none";
  EXPECT_THAT(message(none), HasSubstr((folder_ / "none").string()));
  EXPECT_THAT(message(options("file:///etc/passwd")), HasSubstr("--moderation-url"));
  key_file_ = write("lines", "one\ntwo");
  EXPECT_THAT(message(options("http://127.0.0.1:1")), HasSubstr("several lines"));
}

}  // namespace
}  // namespace llava::serve
