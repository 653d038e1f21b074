// SPDX-License-Identifier: Apache-2.0
#include "model_server.h"

#include <thread>

#include "data_url.h"
#include "program.h"
#include "support/http_client.h"

namespace llava::testing {

Strings golden_flags() {
  return {"--model-path", golden_model(kModel), "--dtype", "float32", "--image-order", "first"};
}

Server::Server(const Strings& flags)
    : ServerProcess(Strings{"serve", "--port", "0", "--drain-delay", "0"} + flags) {}

Json Server::chat(const std::string& body, int status) const {
  const HttpReply reply = http_post(port(), "/v1/chat/completions", body);
  EXPECT_EQ(reply.status, status) << reply.body;
  return parse_json(reply.body, "answer");
}

Json Server::bear_load(const Strings& flags) const {
  return json_of(run_llava(Strings{"bench", "serve", "--url", address(), "--ignore-eos",
                                   "--image-size", "28", "--json"} +
                           flags));
}

double Server::metric(std::string_view name, std::string_view labels) const {
  const std::string text = http_get(port(), "/metrics").body;
  double sum = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::string_view key = line.substr(0, line.rfind(' '));
    if (key.substr(0, key.find('{')) != name || key.find(labels) == std::string_view::npos)
      continue;
    sum += std::stod(std::string(line.substr(key.size() + 1)));
  }
  return sum;
}

void Server::wait_until_idle() const {
  while (metric("llava_requests_preprocessing") + metric("llava_requests_waiting") +
             metric("llava_requests_running") >
         0) {
    std::this_thread::yield();
  }
}

std::string question_about_url(const std::string& url, const std::string& members) {
  OrderedJson body;
  body["messages"] =
      OrderedJson::array({{{"role", "user"},
                           {"content",
                            {{{"type", "text"}, {"text", kQuestion}},
                             {{"type", "image_url"}, {"image_url", {{"url", url}}}}}}}});
  body["temperature"] = 0;
  body["max_tokens"] = 8;
  std::string text = to_text(body);
  if (!members.empty()) text.insert(text.size() - 1, ", " + members);
  return text;
}

std::string question(const std::string& picture, const std::string& members) {
  return question_about_url(data_url_of(picture), members);
}

std::vector<Json> events_of(const std::string& body) {
  std::vector<Json> events;
  bool is_done = false;
  for (std::string_view rest = body; !rest.empty();) {
    const std::size_t end = rest.find("\n\n");
    EXPECT_TRUE(rest.starts_with("data: ")) << rest;
    EXPECT_FALSE(is_done);
    const std::string_view data = rest.substr(6, end - 6);
    is_done = data == "[DONE]";
    if (!is_done) events.push_back(parse_json(data, "event"));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
  }
  EXPECT_TRUE(is_done);
  return events;
}

}  // namespace llava::testing
