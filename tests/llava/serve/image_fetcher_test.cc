// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/media/image_fetcher.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <map>
#include <mutex>

#include "llava/core/guarded.h"
#include "llava/serve/http/http_server.h"

namespace llava::serve {
namespace {

using boost::asio::ip::make_address;
using std::chrono::milliseconds;

/// A host with pictures, and with everything that hosts do to harm.
class PictureHost final : public HttpHandler {
 public:
  std::optional<HttpResponse> admit(const HttpRequest&, uint64_t&) override { return std::nullopt; }
  void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) override {
    seen_.with([&](auto& seen) { seen.push_back(request); });
    if (request.path == "/picture")
      return exchange->respond(make_response(200, "image/png", "PNG"));
    if (request.path == "/empty") return exchange->respond(make_response(200, "image/png", ""));
    if (request.path == "/large") {
      return exchange->respond(make_response(200, "image/png", std::string(5000, 'x')));
    }
    if (request.path.starts_with("/to/")) {
      HttpResponse response = make_response(302, "text/plain", "");
      response.with("Location", request.path.substr(4));
      return exchange->respond(std::move(response));
    }
    if (request.path.starts_with("/hops/")) {
      const int left = std::stoi(request.path.substr(6));
      HttpResponse response = make_response(307, "text/plain", "");
      response.with("Location", left > 0 ? fmt::format("/hops/{}", left - 1) : "/picture");
      return exchange->respond(std::move(response));
    }
    if (request.path == "/wait" || request.path == "/drip") {
      if (request.path == "/drip") exchange->start(make_response(200, "image/png", "P"));
      kept_.with([&](auto& kept) { kept.push_back(std::move(exchange)); });
      return;
    }
    exchange->respond(make_response(404, "text/plain", "no such picture"));
  }
  HttpResponse refuse(int status, const std::string& message) override {
    return make_response(status, "text/plain", message);
  }

  std::vector<HttpRequest> seen() {
    return seen_.with([](const auto& seen) { return seen; });
  }
  std::size_t num_waiting() {
    return kept_.with([](const auto& kept) { return kept.size(); });
  }
  void let_go() {
    kept_.with([](auto& kept) { kept.clear(); });
  }

 private:
  Guarded<std::vector<HttpRequest>> seen_;
  Guarded<std::vector<std::shared_ptr<HttpExchange>>> kept_;
};

class ImageFetcherTest : public ::testing::Test {
 protected:
  ~ImageFetcherTest() override { host_.let_go(); }

  int32_t port() const {
    const std::string address = server_.address();
    return std::stoi(address.substr(address.rfind(':') + 1));
  }
  std::string url(const std::string& path, const std::string& host = "pictures.example") const {
    return fmt::format("http://{}:{}{}", host, port(), path);
  }

  /// A fetcher for which pictures.example is this process and may be connected to.
  std::unique_ptr<ImageFetcher> make_fetcher(bool is_loopback_allowed = true) {
    ImageUrlOptions options;
    options.image_url_policy = "public";
    options.image_url_port = {std::to_string(port())};
    if (is_loopback_allowed) options.image_url_network = {"127.0.0.0/8"};
    return std::make_unique<ImageFetcher>(options, limits_, [this](const std::string& host) {
      lookups_.with([&](auto& lookups) { ++lookups[host]; });
      const auto found = names_.find(host);
      return found == names_.end() ? ImageFetcher::Addresses{} : found->second;
    });
  }

  static FetchedImage fetch(ImageFetcher& fetcher, const std::string& address) {
    std::promise<FetchedImage> promise;
    fetcher.fetch(address, [&](FetchedImage image) { promise.set_value(std::move(image)); });
    return promise.get_future().get();
  }

  void expect_failure(ImageFetcher& fetcher, const std::string& address) {
    const FetchedImage image = fetch(fetcher, address);
    EXPECT_FALSE(image.is_ok) << address;
    EXPECT_EQ(image.bytes, "") << address;
    EXPECT_GE(image.time, limits_.failure_time) << address;
  }

  void wait_for_waiting(std::size_t count) {
    while (host_.num_waiting() < count) std::this_thread::sleep_for(milliseconds(2));
  }

  PictureHost host_;
  HttpServer server_{HttpServerConfig{}, host_};
  ImageFetchLimits limits_{.max_bytes = 1000,
                           .max_held_bytes = 10'000,
                           .lookup_time = milliseconds(300),
                           .connect_time = milliseconds(300),
                           .silence_time = std::chrono::seconds(1),
                           .total_time = milliseconds(600),
                           .failure_time = milliseconds(50)};
  std::map<std::string, ImageFetcher::Addresses> names_{
      {"pictures.example", {make_address("127.0.0.1")}}};
  Guarded<std::map<std::string, int>> lookups_;
};

TEST_F(ImageFetcherTest, GetsAPicture) {
  const auto fetcher = make_fetcher();
  const FetchedImage image = fetch(*fetcher, url("/picture"));
  EXPECT_TRUE(image.is_ok);
  EXPECT_EQ(image.bytes, "PNG");
  const HttpRequest seen = host_.seen().at(0);
  EXPECT_EQ(seen.method, "GET");
  EXPECT_EQ(seen.header("Host"), fmt::format("pictures.example:{}", port()));
  EXPECT_EQ(seen.header("Accept"), "image/*");
  EXPECT_EQ(seen.header("Cookie"), std::nullopt);
  EXPECT_EQ(seen.header("Authorization"), std::nullopt);
  EXPECT_EQ(lookups_.with([](auto& lookups) { return lookups["pictures.example"]; }), 1);
}

TEST_F(ImageFetcherTest, FollowsThreeRedirects) {
  const auto fetcher = make_fetcher();
  EXPECT_TRUE(fetch(*fetcher, url("/hops/2")).is_ok);
  expect_failure(*fetcher, url("/hops/3"));
}

TEST_F(ImageFetcherTest, EveryFailureLooksTheSame) {
  const auto fetcher = make_fetcher();
  for (const char* path : {"/missing", "/empty", "/large", "/wait", "/drip"}) {
    expect_failure(*fetcher, url(path));
  }
  expect_failure(*fetcher, url("/picture", "unknown.example"));
  expect_failure(*fetcher, "ftp://pictures.example/");
}

TEST_F(ImageFetcherTest, ConnectsToNoAddressThatIsNotPublic) {
  names_["mixed.example"] = {make_address("93.184.216.34"), make_address("127.0.0.1")};
  names_["inside.example"] = {make_address("10.0.0.1")};
  const auto fetcher = make_fetcher(false);
  for (const char* host : {"pictures.example", "mixed.example", "inside.example", "127.0.0.1",
                           "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"}) {
    expect_failure(*fetcher, url("/picture", host));
  }
  EXPECT_TRUE(host_.seen().empty());
}

TEST_F(ImageFetcherTest, RedirectsInsideAreRefusedToo) {
  names_["inside.example"] = {make_address("10.0.0.1")};
  const auto fetcher = make_fetcher();
  expect_failure(*fetcher, url("/to/" + url("/picture", "inside.example")));
  expect_failure(*fetcher, url("/to/" + url("/picture", "[::1]")));
  expect_failure(*fetcher, url("/to/file:///etc/passwd"));
  EXPECT_EQ(host_.seen().size(), 3U);
}

TEST_F(ImageFetcherTest, ANameThatChangesIsLookedUpOnce) {
  // The second answer would be this process; the first is an address where nobody is.
  int count = 0;
  ImageUrlOptions options;
  options.image_url_policy = "public";
  options.image_url_port = {std::to_string(port())};
  options.image_url_network = {"127.0.0.2/32"};
  ImageFetcher fetcher(options, limits_, [&count](const std::string&) -> ImageFetcher::Addresses {
    return {make_address(++count == 1 ? "127.0.0.2" : "127.0.0.1")};
  });
  fetch(fetcher, url("/picture", "rebinding.example"));
  EXPECT_EQ(count, 1);
}

TEST_F(ImageFetcherTest, SlowNamesAreGivenUp) {
  ImageUrlOptions options;
  options.image_url_policy = "public";
  ImageFetcher fetcher(options, limits_, [](const std::string&) -> ImageFetcher::Addresses {
    std::this_thread::sleep_for(milliseconds(700));
    return {};
  });
  const FetchedImage image = fetch(fetcher, "http://slow.example/");
  EXPECT_FALSE(image.is_ok);
  EXPECT_LT(image.time, milliseconds(650));
}

TEST_F(ImageFetcherTest, FourOfAHostAtOnceAndTheOthersAfterThem) {
  limits_.total_time = milliseconds(20'000);
  limits_.silence_time = std::chrono::seconds(20);
  const auto fetcher = make_fetcher();
  std::atomic<int> num_ended = 0;
  for (int i = 0; i < 6; ++i) {
    fetcher->fetch(url("/wait"), [&](const FetchedImage&) { ++num_ended; });
  }
  wait_for_waiting(4);
  EXPECT_EQ(host_.seen().size(), 4U);
  host_.let_go();
  wait_for_waiting(2);
  EXPECT_EQ(host_.seen().size(), 6U);
  host_.let_go();
  while (num_ended < 6) std::this_thread::sleep_for(milliseconds(2));
}

TEST_F(ImageFetcherTest, WhatIsHeldIsBounded) {
  limits_.max_held_bytes = 1002;
  const auto fetcher = make_fetcher();
  auto first = std::make_unique<FetchedImage>(fetch(*fetcher, url("/picture")));
  std::promise<FetchedImage> second;
  fetcher->fetch(url("/picture"), [&](FetchedImage image) { second.set_value(std::move(image)); });
  auto future = second.get_future();
  EXPECT_EQ(future.wait_for(milliseconds(100)), std::future_status::timeout);
  first = nullptr;
  EXPECT_TRUE(future.get().is_ok);
}

TEST_F(ImageFetcherTest, CancellingEndsItAndLetsOthersIn) {
  limits_.max_fetches = 1;
  limits_.total_time = milliseconds(20'000);
  limits_.silence_time = std::chrono::seconds(20);
  const auto fetcher = make_fetcher();
  std::atomic<bool> is_called = false;
  const auto cancel = fetcher->fetch(url("/wait"), [&](const FetchedImage&) { is_called = true; });
  wait_for_waiting(1);
  cancel();
  EXPECT_TRUE(fetch(*fetcher, url("/picture")).is_ok);
  EXPECT_FALSE(is_called);
}

TEST_F(ImageFetcherTest, EndsWithItsFetchesUnderWay) {
  std::function<void()> cancel;
  FetchedImage held;
  {
    const auto fetcher = make_fetcher();
    held = fetch(*fetcher, url("/picture"));
    cancel = fetcher->fetch(url("/wait"), [](const FetchedImage&) {});
    wait_for_waiting(1);
  }
  cancel();
}

}  // namespace
}  // namespace llava::serve
