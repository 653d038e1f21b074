// SPDX-License-Identifier: Apache-2.0
#include "llava/image/pinpoints.h"

#include <gtest/gtest.h>

#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::image {
namespace {

std::vector<ImageSize> parse(std::string_view json,
                             PinpointOrder order = PinpointOrder::kWidthFirst, int32_t tile = 336) {
  return parse_pinpoints(parse_json(json, "test"), order, tile, "config.json");
}

const std::vector<ImageSize> kTwo = {{336, 672}, {672, 336}};

TEST(Pinpoints, ReadsEverySpelling) {
  EXPECT_EQ(parse("[[336, 672], [672, 336]]"), kTwo);
  EXPECT_EQ(parse(R"j("[(336, 672), (672, 336)]")j"), kTwo);
  EXPECT_EQ(parse(R"j("[[336,672],[672,336]]")j"), kTwo);
  EXPECT_EQ(parse(R"j("((336, 672), (672, 336),)")j"), kTwo);
  EXPECT_EQ(parse("[[672, 336], [336, 672]]", PinpointOrder::kHeightFirst), kTwo);
}

TEST(Pinpoints, ReadsGrids) {
  const auto range = parse(R"j("(1x1),...,(6x6)")j", PinpointOrder::kWidthFirst, 384);
  ASSERT_EQ(range.size(), 36u);
  EXPECT_EQ(range[0], (ImageSize{384, 384}));
  EXPECT_EQ(range[1], (ImageSize{384, 768}));
  EXPECT_EQ(range[35], (ImageSize{2304, 2304}));
  // Two grids without dots are a range; three are themselves.
  EXPECT_EQ(parse(R"j("(1x1),(2x2)")j").size(), 4u);
  EXPECT_EQ(parse(R"j("(1x2),(2x1),(2x2)")j"),
            (std::vector<ImageSize>{{336, 672}, {672, 336}, {672, 672}}));
  EXPECT_EQ(parse(R"j("(2x3)")j"), (std::vector<ImageSize>{{672, 1008}}));
}

TEST(Pinpoints, RefusesEverythingElse) {
  for (const char* bad :
       {"5", "{}", "[[336]]", "[[336, 0]]", "[[336, 1.5]]", "[336, 672]", R"j("[336, 672]")j",
        R"j("[(336, 672)")j", R"j("[(336 672)]")j", R"j("[(336, 99999999999)]")j",
        R"j("(6x6),...,(1x1)")j", R"j("(1x1),...,(999999x999999)")j", R"j("x")j",
        R"j("[(336, 672)] and more")j"}) {
    SCOPED_TRACE(bad);
    try {
      parse(bad);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat) << error.what();
      EXPECT_NE(std::string(error.what()).find("config.json"), std::string::npos);
    }
  }
  EXPECT_THROW(parse(R"j("(1x1),...,(2x2)")j", PinpointOrder::kWidthFirst, 56), Error);
}

}  // namespace
}  // namespace llava::image
