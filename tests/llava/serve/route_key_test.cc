// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/route_key.h"

#include <gtest/gtest.h>

namespace llava::serve {
namespace {

RouteKey key_of(const std::string& body) {
  return read_route_key(parse_ordered_json(body, "body"));
}

std::string chat(const std::string& picture, const std::string& question,
                 const std::string& members = "") {
  return R"({"model": "m", "messages": [{"role": "system", "content": "Be kind."},
      {"role": "user", "content": [{"type": "text", "text": ")" +
         question + R"("}, {"type": "image_url", "image_url": {"url": ")" + picture + R"("}}]}])" +
         members + "}";
}

TEST(RouteKey, TheFirstPictureDecides) {
  const RouteKey key = key_of(chat("data:image/png;base64,AAAA", "What?"));
  EXPECT_EQ(key.model, "m");
  EXPECT_EQ(key.prefix.size(), 64u);
  EXPECT_EQ(key_of(chat("data:image/png;base64,AAAA", "Where?")).prefix, key.prefix);
  EXPECT_NE(key_of(chat("data:image/png;base64,AAAB", "What?")).prefix, key.prefix);
  EXPECT_NE(key_of(chat("data:image/png;base64,AAAA", "What?", R"(, "cache_salt": "x")")).prefix,
            key.prefix);
  // The other front ends' names for the same bytes.
  const std::string same = key_of(R"({"images": ["AAAA"], "prompt": "<image>"})").prefix;
  EXPECT_EQ(key_of(R"({"image_data": "AAAA", "text": "<image> x"})").prefix, same);
  EXPECT_EQ(key_of(R"({"messages": [{"content": "x", "images": ["AAAA"]}]})").prefix, same);
  EXPECT_EQ(key_of(R"({"messages": [{"content": [{"type": "image", "data": "AAAA"}]}]})").prefix,
            same);
}

TEST(RouteKey, WithoutAPictureHowTheTextBegins) {
  const std::string begin(600, 'x');
  const RouteKey key = key_of(R"({"name": "m:latest", "prompt": ")" + begin + R"( one"})");
  EXPECT_EQ(key.model, "m:latest");
  EXPECT_EQ(key_of(R"({"prompt": ")" + begin + R"( two"})").prefix, key.prefix);
  EXPECT_NE(key_of(R"({"prompt": "other"})").prefix, key.prefix);
  EXPECT_EQ(key_of(R"({"messages": [{"content": "other"}]})").prefix,
            key_of(R"({"prompt": "other"})").prefix);
}

TEST(RouteKey, MalformedBodiesAreForTheWorker) {
  for (const char* body :
       {"{}", R"({"model": 3, "messages": 4})", R"({"messages": [1, {"content": [2, []]}]})",
        R"({"images": [], "prompt": [[1, 2]]})", R"({"image_data": {"url": 5}})"}) {
    const RouteKey key = key_of(body);
    EXPECT_EQ(key.model, "") << body;
    EXPECT_EQ(key.prefix, "") << body;
  }
}

}  // namespace
}  // namespace llava::serve
