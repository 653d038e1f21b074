// SPDX-License-Identifier: Apache-2.0
//
// Points of the conformance list (docs/testing.md) that concern a running server as a whole.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "data_url.h"
#include "made_pictures.h"
#include "model_server.h"
#include "program.h"
#include "support/http_client.h"
#include "support/paths.h"

namespace llava::testing {
namespace {

// P18: whatever the published description has, and what is not in it for old clients.
TEST(Conformance, EveryRouteButTheOpenOnesWantsAKey) {
  const Server server(golden_flags() + Strings{"--api-key", "secret"});
  const std::set<std::string> open = {"/health", "/health/live", "/health/ready", "/openapi.json"};
  std::set<std::pair<std::string, std::string>> routes = {{"POST", "/worker_generate_stream"},
                                                          {"POST", "/worker_get_status"},
                                                          {"POST", "/worker_generate"},
                                                          {"POST", "/api/show"},
                                                          {"GET", "/api/ps"},
                                                          {"GET", "/openapi.json"}};
  const Json document = parse_json(http_get(server.port(), "/openapi.json").body, "document");
  for (const auto& [path, methods] : document["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      if (method == "get") routes.emplace("GET", path);
      if (method == "post") routes.emplace("POST", path);
      if (method == "delete") routes.emplace("DELETE", path);
    }
  }
  EXPECT_GT(routes.size(), 30u);
  const auto status_of = [&](const std::string& method, const std::string& path,
                             const std::string& key) {
    HttpClient client(server.port());
    const std::string body = method == "POST" ? "{}" : "";
    client.send(
        fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    "Content-Length: {}\r\n{}\r\n{}",
                    method, path, body.size(), key, body));
    return client.read_reply().value().status;
  };
  for (const auto& [method, path] : routes) {
    SCOPED_TRACE(method + " " + path);
    if (open.contains(path)) {
      EXPECT_EQ(status_of(method, path, ""), 200);
      continue;
    }
    for (const char* key :
         {"", "Authorization: Bearer secre\r\n", "Authorization: Bearer secretx\r\n",
          "x-api-key: \r\n", "Authorization: Basic secret\r\n"}) {
      EXPECT_EQ(status_of(method, path, key), 401) << key;
    }
    EXPECT_NE(status_of(method, path, "Authorization: Bearer secret\r\n"), 401);
  }
}

// P16: each costs its sender an error; the next question is answered, and memory stays what it was.
TEST(Conformance, HostilePicturesCostOneAnswer) {
  Server server(golden_flags());
  const std::string sound = question(golden_image("landscape_96x64.jpg"));
  const std::string expected = server.chat(sound)["choices"][0].dump();
  const int64_t usual_bytes = server.process().resident_bytes();
  // A megabyte and more of text that takes a kilobyte: zlib's stored form is not enough, so this is
  // plain, and larger than what may stand beside a picture.
  const std::string text = chunk("tEXt", std::string("Comment\0", 8) + std::string(2 << 20, 'x'));
  const std::string photo = read_text(golden_image("landscape_96x64.jpg"));
  struct Case {
    const char* name;
    std::string bytes;
    const char* code;  // null: a picture after all
  };
  for (const Case& c : {
           Case{"50000x50000 in a header", png(50'000, 50'000), "invalid_image"},
           Case{"the largest there is", png(0x7FFFFFFF, 0x7FFFFFFF), "invalid_image"},
           Case{"a side too long", png(20'001, 1), "image_too_large"},
           Case{"a GIF that claims", gif(60'000), "invalid_image"},
           Case{"a BMP that claims", bmp(30'000), "invalid_image"},
           Case{"a JPEG that claims", jpeg(60'000), "invalid_image"},
           Case{"a truncated JPEG", photo.substr(0, photo.size() / 2), "invalid_image"},
           Case{"a large text", png(1, 1, text), nullptr},
           Case{"nothing", "x", "invalid_image"},
       }) {
    SCOPED_TRACE(c.name);
    const std::string body = question_about_url(data_url_of_bytes(c.bytes));
    const Json answer = server.chat(body, c.code == nullptr ? 200 : 400);
    if (c.code != nullptr) {
      EXPECT_EQ(answer["error"]["code"], c.code) << answer;
    }
    EXPECT_EQ(server.chat(sound)["choices"][0].dump(), expected);
  }
  EXPECT_LT(server.process().resident_bytes(), usual_bytes + (int64_t{256} << 20));
}

// P16: unusual ones are pictures like any other.
TEST(Conformance, UnusualPicturesAreAnswered) {
  const Server server(golden_flags());
  const std::filesystem::path folder = source_folder() / "tests/data/image/pictures";
  for (const char* name : {"cmyk.jpg", "grey16_0_le.tif", "animated.gif", "animated.png",
                           "animated.webp", "exif1.jpg", "exif2.jpg", "exif3.jpg", "exif4.jpg",
                           "exif5.jpg", "exif6.jpg", "exif7.jpg", "exif8.jpg"}) {
    SCOPED_TRACE(name);
    server.chat(question((folder / name).string()));
  }
}

}  // namespace
}  // namespace llava::testing
