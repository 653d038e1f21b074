// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/operations/request_log.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "llava/core/file.h"
#include "llava/serve/http/http_server.h"
#include "llava/serve/operations/trace_exporter.h"
#include "support/temporary_folder.h"

namespace llava::serve {
namespace {

RequestRecord example() {
  RequestRecord record{.id = "id",
                       .client = "key",
                       .method = "POST",
                       .route = "/v1/chat/completions",
                       .status = 200,
                       .milliseconds = 100,
                       .key = "key",
                       .address = "192.0.2.1"};
  record.received =
      std::chrono::system_clock::time_point(std::chrono::milliseconds(1'700'000'000'123));
  record.cost.model = "model";
  record.cost.finish_reason = "stop";
  record.cost.prompt_tokens = 600;
  record.cost.preprocess_ms = 10;
  record.cost.queue_ms = 20;
  record.cost.prefill_ms = 30;
  record.cost.decode_ms = 40;
  return record;
}

class RequestLogTest : public testing::TemporaryFolder {
 protected:
  Json last_line() const {
    const std::string text = read_file(folder_ / "log", 1 << 20);
    const std::size_t begin = text.rfind('\n', text.size() - 2);
    return Json::parse(text.substr(begin == std::string::npos ? 0 : begin + 1));
  }
};

TEST_F(RequestLogTest, ALineForEachRequest) {
  RequestLog log((folder_ / "log").string(), false);
  log.write(example());
  const Json line = last_line();
  EXPECT_EQ(line["time"], "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(line["key"], "key");
  EXPECT_EQ(line["address"], "192.0.2.1");
  EXPECT_EQ(line["prompt_tokens"], 600);
  EXPECT_EQ(line["prefill_ms"], 30.0);
  RequestRecord other = example();
  other.key.clear();
  other.cost = {};
  other.route = "line\nbreak";
  log.write(other);
  EXPECT_EQ(last_line()["endpoint"], "line\nbreak");
  EXPECT_TRUE(last_line()["key"].is_null());
  EXPECT_FALSE(last_line().contains("model"));
}

TEST_F(RequestLogTest, RotatesAndHashes) {
  RequestLog log((folder_ / "log").string(), true);
  log.write(example());
  const Json first = last_line();
  EXPECT_EQ(first["address"].get<std::string>().size(), 12U);
  std::filesystem::rename(folder_ / "log", folder_ / "log.1");
  log.reopen();
  log.write(example());
  EXPECT_EQ(last_line()["address"], first["address"]);
  EXPECT_THROW(RequestLog("/nowhere/log", false), Error);
}

TEST(TraceSpans, BelongToTheClientsTrace) {
  RequestRecord record = example();
  record.trace_parent = "00-0123456789abcdef0123456789abcdef-1122334455667788-01";
  const auto spans = spans_of(record);
  ASSERT_EQ(spans.size(), 5U);
  EXPECT_EQ(spans[0]["parentSpanId"], "1122334455667788");
  EXPECT_EQ(spans[0]["startTimeUnixNano"], "1700000000123000000");
  EXPECT_EQ(spans[0]["endTimeUnixNano"], "1700000000223000000");
  for (const OrderedJson& span : spans) {
    EXPECT_EQ(span["traceId"], "0123456789abcdef0123456789abcdef");
  }
  EXPECT_EQ(spans[4]["parentSpanId"], spans[0]["spanId"]);
  EXPECT_EQ(spans[4]["endTimeUnixNano"], "1700000000223000000");
  record.trace_parent.back() = '0';
  EXPECT_TRUE(spans_of(record).empty());
  EXPECT_NE(spans_of(example())[0]["traceId"], spans_of(example())[0]["traceId"]);
}

/// Keeps the bodies it gets.
class Collector final : public HttpHandler {
 public:
  std::optional<HttpResponse> admit(const HttpRequest&, uint64_t&) override { return std::nullopt; }
  void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) override {
    bodies.with(
        [&](auto& all) { all.push_back(fmt::format("{} {}", request.path, request.body)); });
    exchange->respond(make_response(200, "application/json", "{}"));
  }
  HttpResponse refuse(int status, const std::string& message) override {
    return make_response(status, "text/plain", message);
  }

  Guarded<std::vector<std::string>> bodies;
};

TEST(TraceExporter, SendsWhatIsLeftAtTheEnd) {
  Collector collector;
  HttpServer server(HttpServerConfig{}, collector);
  {
    TraceExporter exporter(fmt::format("{}/", server.address()));
    exporter.add(example());
  }
  const auto bodies = collector.bodies.with([](const auto& all) { return all; });
  ASSERT_EQ(bodies.size(), 1U);
  ASSERT_TRUE(bodies[0].starts_with("/v1/traces {"));
  const Json body = Json::parse(bodies[0].substr(11));
  EXPECT_EQ(body["resourceSpans"][0]["scopeSpans"][0]["spans"].size(), 5U);
  TraceExporter nobody("http://127.0.0.1:1");
  nobody.add(example());
}

}  // namespace
}  // namespace llava::serve
