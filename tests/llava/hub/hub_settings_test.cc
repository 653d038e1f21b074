// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/hub_settings.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "llava/checkpoint/expect_error.h"
#include "llava/hub/hub_client.h"
#include "support/temporary_folder.h"

namespace llava::hub {
namespace {

using llava::testing::expect_error;

constexpr const char* kVariables[] = {
    "HF_HOME",        "HF_HUB_CACHE",         "HF_ENDPOINT",
    "HF_TOKEN",       "HF_TOKEN_PATH",        "HUGGING_FACE_HUB_TOKEN",
    "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN"};

class HubSettingsTest : public llava::testing::TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    for (const char* name : kVariables) ::unsetenv(name);
    ::setenv("HF_HOME", folder_.c_str(), 1);
  }
  void TearDown() override {
    for (const char* name : kVariables) ::unsetenv(name);
    TemporaryFolder::TearDown();
  }
};

TEST_F(HubSettingsTest, WithoutAnyVariable) {
  const HubSettings settings = settings_of_environment();
  EXPECT_TRUE(settings.endpoint.starts_with("https://"));
  EXPECT_EQ(settings.token, "");
  EXPECT_EQ(settings.cache, folder_ / "hub");
  EXPECT_FALSE(settings.is_offline);
}

TEST_F(HubSettingsTest, WhereTheTokenComesFrom) {
  write("token", "of-file\n");
  EXPECT_EQ(settings_of_environment().token, "of-file");
  ::setenv("HF_TOKEN_PATH", write("other", " other ").c_str(), 1);
  EXPECT_EQ(settings_of_environment().token, "other");
  ::setenv("HUGGING_FACE_HUB_TOKEN", "old-name", 1);
  EXPECT_EQ(settings_of_environment().token, "old-name");
  ::setenv("HF_TOKEN", "of-variable\n", 1);
  EXPECT_EQ(settings_of_environment().token, "of-variable");
  ::setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
  EXPECT_EQ(settings_of_environment().token, "");
}

TEST_F(HubSettingsTest, NoTokenBecomesASecondHeader) {
  ::setenv("HF_TOKEN", "a\r\nX-Header: b", 1);
  expect_error(ErrorCode::kInvalidArgument, {"HF_TOKEN"}, [] { settings_of_environment(); });
  const auto file = write("bad", "two words");
  expect_error(ErrorCode::kBadFormat, {file.c_str()}, [&] { read_token_file(file); });
  expect_error(ErrorCode::kNotFound, {"nowhere"}, [&] { read_token_file(folder_ / "nowhere"); });
}

TEST_F(HubSettingsTest, Endpoints) {
  ::setenv("HF_ENDPOINT", "http://mirror:8080/hub//", 1);
  EXPECT_EQ(settings_of_environment().endpoint, "http://mirror:8080/hub");
  for (const char* text : {"mirror", "ftp://mirror", "http://", "https:///x", "http://a b",
                           "http://a?b", "http://user@a", ""}) {
    expect_error(ErrorCode::kInvalidArgument, {"--endpoint"},
                 [&] { checked_endpoint(text, "--endpoint"); });
  }
}

TEST_F(HubSettingsTest, WhatSaysOffline) {
  for (const char* name : {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}) {
    for (const char* yes : {"1", "on", "Yes", "TRUE"}) {
      ::setenv(name, yes, 1);
      EXPECT_TRUE(settings_of_environment().is_offline) << name << "=" << yes;
    }
    for (const char* no : {"", "0", "off", "false"}) {
      ::setenv(name, no, 1);
      EXPECT_FALSE(settings_of_environment().is_offline) << name << "=" << no;
    }
  }
}

TEST_F(HubSettingsTest, OfflineRefusesEveryRequest) {
  HubSettings settings = settings_of_environment();
  settings.is_offline = true;
  HubClient client(settings);
  expect_error(ErrorCode::kUnavailable, {"http://127.0.0.1:1/x", "HF_HUB_OFFLINE"},
               [&] { client.send({.url = "http://127.0.0.1:1/x"}); });
}

TEST(HubAddresses, OriginsAreSchemeHostAndPort) {
  EXPECT_EQ(origin_of("https://Host/a?b"), "https://host:443");
  EXPECT_EQ(origin_of("https://host:443"), origin_of("https://host/x"));
  EXPECT_NE(origin_of("http://host"), origin_of("https://host"));
  EXPECT_NE(origin_of("https://host:8443"), origin_of("https://host"));
  EXPECT_NE(origin_of("https://host.evil.org"), origin_of("https://host"));
  EXPECT_EQ(origin_of("https://user@host/"), "https://host:443");
  for (const char* text : {"ftp://host", "host", "", "file:///x", "https://"}) {
    EXPECT_EQ(origin_of(text), "") << text;
  }
}

TEST(HubAddresses, EncodedPaths) {
  EXPECT_EQ(percent_encoded("a b/c?d#e%", "/"), "a%20b/c%3Fd%23e%25");
  EXPECT_EQ(percent_encoded("refs/pr/1"), "refs%2Fpr%2F1");
  EXPECT_EQ(percent_encoded("A-z_0.~\xc3\xa9"), "A-z_0.~%C3%A9");
}

}  // namespace
}  // namespace llava::hub
