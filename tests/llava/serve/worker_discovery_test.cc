// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/controller/worker_discovery.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "llava/core/error.h"
#include "llava/core/guarded.h"
#include "llava/serve/controller/controller_api.h"
#include "local_server.h"

namespace llava::serve {
namespace {

using Workers = std::optional<std::vector<std::string>>;

TEST(WorkerDiscovery, ReadsNameAndPort) {
  const DiscoveryName name = read_discovery("dns:llava-worker.default.svc:40000");
  EXPECT_EQ(name.host, "llava-worker.default.svc");
  EXPECT_EQ(name.port, 40000);
  for (const char* text : {"", "dns:", "dns:name", "dns:name:", "dns:name:0", "dns:name:70000",
                           "dns:a/b:80", "dns:name:80/x", "dns:u@name:80", "srv:name:80"}) {
    try {
      read_discovery(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find("dns:NAME:PORT"), std::string::npos) << error.what();
    }
  }
}

TEST(WorkerDiscovery, EveryAddressIsAWorker) {
  const Workers workers = find_workers({.host = "localhost", .port = 40000});
  ASSERT_TRUE(workers);
  EXPECT_NE(std::ranges::find(*workers, "http://127.0.0.1:40000"), workers->end());
  EXPECT_TRUE(std::ranges::is_sorted(*workers));
  EXPECT_EQ(find_workers({.host = "no-such-name.invalid", .port = 1}), std::nullopt);
}

TEST(WorkerDiscovery, TheTableFollowsWhatIsFound) {
  Guarded<std::string> model("first");
  LocalServer worker([&](Router& router) {
    router.add("POST", "/worker_get_status", Access::kOpen, [&](const RouteCall& call) {
      const std::string name = model.with([](const std::string& text) { return text; });
      call.exchange->respond(make_response(
          200, "application/json",
          fmt::format(R"({{"model_names": ["{}"], "speed": 1, "queue_length": 0}})", name)));
    });
  });
  Guarded<Workers> found(std::vector<std::string>{worker.address(), "http://127.0.0.1:1"});
  ControllerOptions options;
  options.discovery_pause = std::chrono::milliseconds(10);
  std::atomic<int> num_lookups = 0;
  options.find_workers = [&] {
    ++num_lookups;
    return found.with([](const Workers& now) { return now; });
  };
  LocalServer controller(std::make_unique<Controller>(options));
  const auto wait_for_models = [&](const std::string& models) {
    while (controller.post("/list_models", "").body != R"({"models":[)" + models + "]}") {
    }
  };
  wait_for_models(R"("first")");
  model.with([](std::string& text) { text = "second"; });
  wait_for_models(R"("second")");
  // A name that cannot be looked up says nothing of its workers.
  found.with([](Workers& now) { now = std::nullopt; });
  const int num_before = num_lookups;
  while (num_lookups < num_before + 3) std::this_thread::yield();
  EXPECT_EQ(controller.post("/list_models", "").body, R"({"models":["second"]})");
  found.with([](Workers& now) { now = std::vector<std::string>{}; });
  wait_for_models("");
}

}  // namespace
}  // namespace llava::serve
