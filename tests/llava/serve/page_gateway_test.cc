// SPDX-License-Identifier: Apache-2.0
//
// The page's server between a real controller, fake workers and a fake moderation service.
#include "llava/serve/gateway/page_gateway.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <mutex>
#include <vector>

#include "fake_worker.h"
#include "llava/core/json.h"
#include "llava/serve/controller/controller_api.h"
#include "support/temporary_folder.h"

namespace llava::serve {
namespace {

using ::testing::HasSubstr;
using testing::HttpClient;
using testing::HttpReply;

const char* const kChat =
    R"({"model": "llava-v1.5", "messages": [{"role": "user", "content": "Q"}]})";
const char* const kBadChat =
    R"({"model": "llava-v1.5", "messages": [{"role": "user", "content": "a bad word"}]})";
const char* const kPath = "/v1/chat/completions";

class PageGatewayTest : public testing::TemporaryFolder {
 protected:
  void start(GatewayOptions gateway = {}, WebOptions web = {}) {
    gateway.controller_address = controller_.address();
    gateway.moderation.moderation_url = service_.address() + "/moderations";
    page_ = std::make_unique<LocalServer>(std::make_unique<PageGateway>(gateway, web));
  }
  static GatewayOptions moderated(bool page, bool api, const std::string& fails = "open") {
    GatewayOptions options;
    options.moderation.moderate = page;
    options.moderation.moderate_api = api;
    options.moderation.moderation_fail = fails;
    return options;
  }
  void add_worker(const std::string& address, const std::string& model = "llava-v1.5") {
    const int port = controller_.port();
    testing::http_post(
        port, "/register_worker",
        fmt::format(R"({{"worker_name": "{}", "check_heart_beat": false, "worker_status":
                         {{"model_names": ["{}"], "speed": 1, "queue_length": 0}}}})",
                    address, model));
  }
  Json get(const std::string& path) const {
    return parse_json(testing::http_get(page_->port(), path).body, path);
  }
  std::string metrics() const { return testing::http_get(page_->port(), "/metrics").body; }
  std::vector<std::string> models() const {
    std::vector<std::string> names;
    const Json list = get("/v1/models");
    for (const Json& model : list["data"]) names.push_back(model["id"].get<std::string>());
    return names;
  }

  LocalServer controller_{std::make_unique<Controller>(ControllerOptions{})};
  /// Flags what has "bad" in it; fails when it is told to.
  LocalServer service_{[this](Router& router) {
    router.add("POST", "/moderations", Access::kOpen, [this](const RouteCall& call) {
      if (service_fails_) return call.exchange->abort();
      const bool is_bad = call.request.body.find("bad") != std::string::npos;
      call.exchange->respond(json_response({{"results", {{{"flagged", is_bad}}}}}));
    });
  }};
  std::atomic<bool> service_fails_{false};
  std::unique_ptr<LocalServer> page_;
};

TEST_F(PageGatewayTest, ThePageAndTheApiAreThere) {
  const FakeWorker worker(true, whole(200, R"({"id": 1})"));
  add_worker(worker.address());
  start();
  EXPECT_EQ(get("/web/config")["chat_path"], kPath);
  EXPECT_EQ(page_->post(kPath, kChat).body, R"({"id": 1})");
  EXPECT_EQ(page_->post("/web/chat", kChat).status, 404) << "there only for moderation";
}

TEST_F(PageGatewayTest, ModerationOfThePageOnly) {
  const FakeWorker worker(true, whole(200, R"({"id": 1})"));
  add_worker(worker.address());
  start(moderated(true, false));
  EXPECT_EQ(get("/web/config")["chat_path"], "/web/chat");
  const HttpReply good = page_->post("/web/chat", kChat);
  EXPECT_EQ(good.body, R"({"id": 1})");
  EXPECT_EQ(worker.last_request().path, kPath);
  const HttpReply bad = page_->post("/web/chat", kBadChat);
  EXPECT_EQ(bad.status, 400);
  const Json error = parse_json(bad.body, "")["error"];
  EXPECT_EQ(error["code"], "content_moderated");
  EXPECT_EQ(error["message"],
            "YOUR INPUT VIOLATES OUR CONTENT MODERATION GUIDELINES. PLEASE TRY AGAIN.");
  EXPECT_EQ(page_->post(kPath, kBadChat).status, 200);
  EXPECT_EQ(worker.num_requests(), 2);
  EXPECT_THAT(metrics(), HasSubstr("llava_moderation_total{result=\"passed\"} 1"));
  EXPECT_THAT(metrics(), HasSubstr("llava_moderation_total{result=\"flagged\"} 1"));
}

TEST_F(PageGatewayTest, ModerationOfTheApi) {
  const FakeWorker worker(true, whole(200, "{}"));
  add_worker(worker.address());
  start(moderated(false, true));
  EXPECT_EQ(page_->post(kPath, kChat).status, 200);
  EXPECT_EQ(page_->post(kPath, kBadChat).status, 400);
  EXPECT_EQ(page_->post("/generate", R"({"model": "llava-v1.5", "text": "bad"})").status, 400);
  const HttpReply ollama = page_->post("/api/chat", kBadChat);
  EXPECT_EQ(ollama.status, 400);
  EXPECT_TRUE(parse_json(ollama.body, "")["error"].is_string()) << ollama.body;
  EXPECT_EQ(page_->post(kPath, "{").status, 400);
  EXPECT_EQ(worker.num_requests(), 1);
}

TEST_F(PageGatewayTest, AServiceThatFails) {
  const FakeWorker worker(true, whole(200, "{}"));
  add_worker(worker.address());
  service_fails_ = true;
  start(moderated(true, false, "open"));
  EXPECT_EQ(page_->post("/web/chat", kBadChat).status, 200);
  EXPECT_THAT(metrics(), HasSubstr("llava_moderation_total{result=\"failed\"} 1"));
  start(moderated(true, false, "closed"));
  const HttpReply refused = page_->post("/web/chat", kChat);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(parse_json(refused.body, "")["error"]["code"], "moderation_unavailable");
  EXPECT_EQ(worker.num_requests(), 1);
}

TEST_F(PageGatewayTest, SoManyAnswersAtTheSameTime) {
  std::mutex mutex;
  std::vector<std::shared_ptr<HttpExchange>> kept;
  std::promise<void> first;
  std::promise<void> second;
  const FakeWorker worker(true, [&](const RouteCall& call) {
    const std::lock_guard lock(mutex);
    kept.push_back(call.exchange);
    (kept.size() == 1 ? first : second).set_value();
  });
  add_worker(worker.address());
  GatewayOptions options;
  options.concurrency_count = 1;
  start(options);
  HttpClient one(page_->port());
  one.send(testing::post_bytes(kPath, kChat));
  first.get_future().wait();
  HttpClient gone(page_->port());
  gone.send(testing::post_bytes(kPath, kChat));
  HttpClient two(page_->port());
  two.send(testing::post_bytes(kPath, kChat));
  while (metrics().find("llava_requests_waiting 2") == std::string::npos) {
  }
  EXPECT_THAT(metrics(), HasSubstr("llava_requests_running 1"));
  // Who does not wait any more has no turn.
  gone.close();
  while (metrics().find("llava_requests_waiting 1") == std::string::npos) {
  }
  EXPECT_EQ(worker.num_requests(), 1);
  const auto answer = [&](std::size_t index) {
    std::shared_ptr<HttpExchange> exchange;
    {
      const std::lock_guard lock(mutex);
      exchange = kept.at(index);
    }
    exchange->respond(json_response({{"index", index}}));
  };
  answer(0);
  EXPECT_EQ(one.read_reply().value().body, R"({"index":0})");
  second.get_future().wait();
  answer(1);
  EXPECT_EQ(two.read_reply().value().body, R"({"index":1})");
  while (metrics().find("llava_requests_running 0") == std::string::npos) {
  }
  // No exchange outlives its server.
  kept.clear();
}

TEST_F(PageGatewayTest, TheListOfModels) {
  const FakeWorker worker(true, whole(200, "{}"));
  for (const char* model : {"zebra", "koala-13b", "llava", "vicuna-13b"}) {
    add_worker(fmt::format("{}/{}", worker.address(), model), model);
  }
  WebOptions web;
  web.model_list_mode = "once";
  start({}, web);
  // These workers answer no /worker_get_status: a refresh drops them.
  EXPECT_TRUE(models().empty());
  EXPECT_EQ(in_page_order({"zebra", "koala-13b", "llava", "vicuna-13b"}),
            (std::vector<std::string>{"vicuna-13b", "koala-13b", "llava", "zebra"}));
  GatewayOptions nowhere;
  nowhere.controller_address = "http://127.0.0.1:1";
  EXPECT_THROW(PageGateway(nowhere, web), Error);
  web.model_list_mode = "reload";
  page_ = std::make_unique<LocalServer>(std::make_unique<PageGateway>(nowhere, web));
  EXPECT_EQ(testing::http_get(page_->port(), "/v1/models").status, 503);
}

TEST_F(PageGatewayTest, AListThatIsReloaded) {
  std::atomic<int> num_asked{0};
  const LocalServer worker([&](Router& router) {
    router.add("POST", "/worker_get_status", Access::kOpen, [&](const RouteCall& call) {
      ++num_asked;
      call.exchange->respond(make_response(
          200, "application/json", R"({"model_names": ["new"], "speed": 1, "queue_length": 0})"));
    });
  });
  start();
  add_worker(worker.address(), "old");
  EXPECT_EQ(models(), std::vector<std::string>{"new"});
  EXPECT_EQ(models(), std::vector<std::string>{"new"});
  EXPECT_EQ(num_asked, 1) << "a list of this age is shown again";
}

TEST_F(PageGatewayTest, VotesAreKeptWithTheTemplateOfTheModelsName) {
  WebOptions web;
  web.log_dir = folder_ / "log";
  start({}, web);
  const auto vote = [&](const std::string& model) {
    return page_
        ->post("/web/log",
               fmt::format(R"({{"type": "upvote", "requests": [{{"model": "{}", "messages":
            [{{"role": "user", "content": "Hi"}}, {{"role": "assistant", "content": "Ho"}}]}}]}})",
                           model))
        .status;
  };
  EXPECT_EQ(vote("llava-v1.5"), 204);
  EXPECT_EQ(vote("llava-v1.6-34b"), 204);
  EXPECT_EQ(page_->post("/web/log", "{}").status, 400);
  std::vector<std::string> roles;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "log")) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      roles.push_back(parse_json(line, "line")["state"]["roles"][0].get<std::string>());
    }
  }
  EXPECT_EQ(roles, (std::vector<std::string>{"USER", "<|im_start|>user\n"}));
}

}  // namespace
}  // namespace llava::serve
