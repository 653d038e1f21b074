// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/cache_keys.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "fake_engine.h"

namespace llava::engine {
namespace {

GenerationRequest some_request() {
  return fake_request(std::vector<int32_t>(64, 5), {{1, 8}, {2, 30}}, 16, 4);
}

TEST(PrefixKey, EverythingCounts) {
  const GenerationRequest request = some_request();
  std::set<std::string> keys{prefix_key("id", request, 48, 16)};
  const auto expect_new = [&](const std::string& key) { EXPECT_TRUE(keys.insert(key).second); };
  const auto changed = [&](const std::function<void(GenerationRequest&)>& change) {
    GenerationRequest other = request;
    change(other);
    return prefix_key("id", other, 48, 16);
  };
  expect_new(prefix_key("other", request, 48, 16));
  expect_new(prefix_key("id", request, 32, 16));
  expect_new(prefix_key("id", request, 48, 8));
  expect_new(changed([](GenerationRequest& r) { r.cache_salt = "salt"; }));
  expect_new(changed([](GenerationRequest& r) { r.prompt.ids[0] = 6; }));
  expect_new(changed([](GenerationRequest& r) { r.prompt.ids[47] = 6; }));
  expect_new(changed([](GenerationRequest& r) { r.images[0].key = fake_key(9); }));
  expect_new(changed([](GenerationRequest& r) { std::swap(r.images[0], r.images[1]); }));
  expect_new(changed([](GenerationRequest& r) { r.prompt.images[1].offset = 31; }));
  // What follows the prefix, and what a picture is called, do not.
  const auto same = [&](const std::string& key) { EXPECT_TRUE(keys.contains(key)); };
  same(changed([](GenerationRequest& r) { r.prompt.ids[48] = 6; }));
  same(changed([](GenerationRequest& r) { r.pin = "name"; }));
  same(changed([](GenerationRequest& r) {
    std::swap(r.images[0], r.images[1]);
    std::swap(r.prompt.images[0].image, r.prompt.images[1].image);
  }));
}

TEST(PrefixKey, TakesAPicturesBeginning) {
  GenerationRequest request = some_request();
  const std::string key = prefix_key("id", request, 32, 16);
  request.images[1].key = fake_key(9);
  EXPECT_NE(prefix_key("id", request, 32, 16), key) << "two rows of the second picture are in it";
  EXPECT_EQ(prefix_key("id", request, 16, 16), prefix_key("id", some_request(), 16, 16));
}

TEST(FeaturesKey, IsOfTheModelAndThePicture) {
  const std::set<std::string> keys{features_key("a", fake_key(1)), features_key("b", fake_key(1)),
                                   features_key("a", fake_key(2)), pin_key("a")};
  EXPECT_EQ(keys.size(), 4u);
}

}  // namespace
}  // namespace llava::engine
