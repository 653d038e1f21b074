// SPDX-License-Identifier: Apache-2.0
#include "llava/image/pinpoints.h"

#include <gtest/gtest.h>

#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::image {
namespace {

std::vector<ImageSize> read(std::string_view value,
                            PinpointOrder order = PinpointOrder::kWidthFirst, int32_t tile = 336) {
  const Json json = parse_json("{\"image_grid_pinpoints\":" + std::string(value) + "}", "test");
  return read_pinpoints(JsonObject(json, "config.json"), order, tile);
}

TEST(Pinpoints, OrderIsTheCallers) {
  EXPECT_EQ(read("[[336, 672]]"), (std::vector<ImageSize>{{336, 672}}));
  EXPECT_EQ(read("[[336, 672]]", PinpointOrder::kHeightFirst),
            (std::vector<ImageSize>{{672, 336}}));
  EXPECT_EQ(read(R"j("(1x2)")j", PinpointOrder::kHeightFirst),
            (std::vector<ImageSize>{{672, 336}}));
}

TEST(Pinpoints, TilesBecomePixels) {
  const auto range = read(R"j("(1x1),...,(6x6)")j", PinpointOrder::kWidthFirst, 384);
  ASSERT_EQ(range.size(), 36u);
  EXPECT_EQ(range[0], (ImageSize{384, 384}));
  EXPECT_EQ(range[1], (ImageSize{384, 768}));
  EXPECT_EQ(range[35], (ImageSize{2304, 2304}));
}

TEST(Pinpoints, Refusals) {
  for (const char* bad : {"5", R"j("(1x1),(1x2),(1x196)")j", R"j("(65536x1)")j"}) {
    SCOPED_TRACE(bad);
    try {
      read(bad);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat) << error.what();
      EXPECT_NE(std::string(error.what()).find("config.json: key 'image_grid_pinpoints'"),
                std::string::npos);
    }
  }
  EXPECT_THROW(read(R"j("(1x1),...,(2x2)")j", PinpointOrder::kWidthFirst, 56), Error);
}

}  // namespace
}  // namespace llava::image
