// SPDX-License-Identifier: Apache-2.0
//
// The web page's files and the conversation log, as HTTP clients meet them; tests/browser has the
// page itself.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "program.h"
#include "server_process.h"
#include "support/http_client.h"

namespace llava::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

Strings serve_flags() {
  return {"serve",
          "--port",
          "0",
          "--drain-delay",
          "0",
          "--model-path",
          golden_model("llava-v1.5-pad"),
          "--dtype",
          "float32"};
}

class WebTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string record(const std::string& type, const std::string& fields = {}) {
    return fmt::format(
        R"({{"type": "{}", "requests": [{{"model": "llava-v1.5-pad", "messages":
            [{{"role": "user", "content": "Hi"}}, {{"role": "assistant", "content": "Ho"}}]}}]{}}})",
        type, fields);
  }

  fs::path folder_ =
      fs::path(::testing::TempDir()) /
      (std::string("llava-web-") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(WebTest, ThePageAndItsFilesHaveTheirHeaders) {
  const ServerProcess server(serve_flags());
  const HttpReply page = http_get(server.port(), "/");
  if (page.status == 404) {
    EXPECT_THAT(page.body, HasSubstr("-DLLAVA_WEB=ON"));
    GTEST_SKIP() << "this program was built without the page";
  }
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.headers.at("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(page.headers.at("cache-control"), "no-cache");
  EXPECT_EQ(page.headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(page.headers.at("referrer-policy"), "no-referrer");
  EXPECT_THAT(page.headers.at("content-security-policy"),
              HasSubstr("default-src 'none'; script-src 'self'; style-src 'self';"));
  const std::string tag = page.headers.at("etag");
  const HttpReply known = http_get(server.port(), "/", "If-None-Match: W/\"x\", " + tag + "\r\n");
  EXPECT_EQ(known.status, 304);
  EXPECT_EQ(known.body, "");

  const std::size_t at = page.body.find("/assets/");
  ASSERT_NE(at, std::string::npos);
  const std::string path = page.body.substr(at, page.body.find('"', at) - at);
  const HttpReply asset = http_get(server.port(), path);
  EXPECT_EQ(asset.status, 200) << path;
  EXPECT_EQ(asset.headers.at("cache-control"), "public, max-age=31536000, immutable");
  for (const char* wrong : {"/assets/", "/assets/none.js", "/assets/..%2Findex.html",
                            "/assets/../index.html", "/index.html"}) {
    EXPECT_EQ(http_get(server.port(), wrong).status, 404) << wrong;
  }
}

TEST_F(WebTest, RecordsAreCheckedAndKeptOnlyWhereAFolderIsNamed) {
  const std::string terms = folder_ / "terms.md";
  std::ofstream(terms) << "Be kind.";
  const ServerProcess silent(serve_flags() + Strings{"--terms-file", terms});
  Json config = parse_json(http_get(silent.port(), "/web/config").body, "config");
  EXPECT_EQ(config, (Json{{"embed", false},
                          {"model_list_mode", "reload"},
                          {"terms", "Be kind."},
                          {"license", nullptr},
                          {"max_text_length", 0},
                          {"max_picture_text_length", 0},
                          {"keeps_log", false},
                          {"has_attention", true},
                          {"chat_path", "/v1/chat/completions"}}));
  EXPECT_EQ(http_post(silent.port(), "/web/log", record("upvote")).status, 204);

  const fs::path log = folder_ / "log";
  const ServerProcess server(serve_flags() + Strings{"--log-dir", log, "--embed"});
  config = parse_json(http_get(server.port(), "/web/config").body, "config");
  EXPECT_TRUE(config["keeps_log"].get<bool>() && config["embed"].get<bool>());
  EXPECT_EQ(http_post(server.port(), "/web/log", record("chat", R"(, "seconds": 1)")).status, 204);
  EXPECT_EQ(http_post(server.port(), "/web/log", record("flag")).status, 204);
  EXPECT_EQ(http_post(server.port(), "/web/log", record("love")).status, 400);
  std::string other = record("flag");
  other.replace(other.find("llava-v1.5-pad"), 14, "other");
  EXPECT_EQ(http_post(server.port(), "/web/log", other).status, 404);
  HttpClient client(server.port());
  client.send("POST /web/log HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(client.read_reply().value().status, 415);

  std::vector<std::string> types;
  for (const fs::directory_entry& entry : fs::directory_iterator(log)) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      types.push_back(parse_json(line, "line")["type"].get<std::string>());
    }
  }
  EXPECT_EQ(types, (Strings{"chat", "flag"}));

  const fs::path unused = folder_ / "unused";
  const ServerProcess mute(serve_flags() + Strings{"--log-dir", unused, "--no-conv-log"});
  EXPECT_EQ(http_post(mute.port(), "/web/log", record("flag")).status, 204);
  // The process's own log is another thing.
  for (const fs::directory_entry& entry : fs::directory_iterator(unused)) {
    EXPECT_EQ(entry.path().filename(), "serve.log");
  }
}

TEST_F(WebTest, WithKeysTheLogNeedsOneAndThePageDoesNot) {
  const ServerProcess server(serve_flags() + Strings{"--api-key", "secret"});
  EXPECT_EQ(http_get(server.port(), "/web/config").status, 200);
  EXPECT_EQ(http_post(server.port(), "/web/log", record("flag")).status, 401);
  EXPECT_EQ(http_post(server.port(), "/web/log", record("flag"), "Authorization: Bearer secret\r\n")
                .status,
            204);
}

TEST_F(WebTest, ThePageCanBeLeftOutAndBadFilesAreNamed) {
  const ServerProcess server(serve_flags() + Strings{"--no-web"});
  EXPECT_EQ(http_get(server.port(), "/").status, 404);
  EXPECT_EQ(http_get(server.port(), "/web/config").status, 404);
  const ProcessResult result = run_llava(serve_flags() + Strings{"--terms-file", "/no/such/file"});
  EXPECT_EQ(result.status, 3);
  EXPECT_THAT(result.err, HasSubstr("/no/such/file"));
}

TEST_F(WebTest, ABrowserOpensOnDesktopsOnly) {
  const fs::path opener = folder_ / "xdg-open";
  const fs::path opened = folder_ / "opened";
  // Renamed when it is whole, so that its content is there when it is.
  std::ofstream(opener) << "#!/bin/sh\nprintf %s \"$1\" > " << opened.string() << ".part\nmv "
                        << opened.string() << ".part " << opened.string() << "\n";
  fs::permissions(opener, fs::perms::owner_all);
  const auto start = [&](bool has_terminal, const std::string& display, const Strings& flags) {
    ProcessRequest request = program_request(serve_flags() + flags);
    request.has_terminal = has_terminal;
    request.environment["PATH"] = fmt::format("{}:/usr/bin:/bin", folder_.string());
    request.environment["DISPLAY"] = display;
    request.environment["WAYLAND_DISPLAY"] = "";
    auto process = std::make_unique<Process>(request);
    // The last line comes before the browser is started; Ctrl-C is handled after that.
    EXPECT_TRUE(process->wait_for_output("http://127.0.0.1:"));
    return process;
  };
  const auto desktop = start(true, ":0", {});
  while (!fs::exists(opened)) {
  }
  const std::string& out = desktop->output();
  EXPECT_THAT(out, HasSubstr(read_text(opened)));
  EXPECT_THAT(read_text(opened), ::testing::StartsWith("http://127.0.0.1:"));
  fs::remove(opened);
  for (const auto& process : {start(true, ":0", {"--no-open"}), start(true, ":0", {"--no-web"}),
                              start(true, "", {}), start(false, ":0", {})}) {
    process->send_signal(SIGINT);
    EXPECT_EQ(process->finish().status, 0);
  }
  EXPECT_FALSE(fs::exists(opened));
}

}  // namespace
}  // namespace llava::testing
