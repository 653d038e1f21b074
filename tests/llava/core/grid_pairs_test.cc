// SPDX-License-Identifier: Apache-2.0
#include "llava/core/grid_pairs.h"

#include <gtest/gtest.h>

#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava {
namespace {

using Pairs = std::vector<std::pair<int32_t, int32_t>>;

GridPairs read(std::string_view value) {
  const Json json = parse_json("{\"grid\":" + std::string(value) + "}", "test");
  return read_grid_pairs(JsonObject(json, "config.json"), "grid");
}

TEST(GridPairs, ReadsPixelsInEverySpelling) {
  for (const char* spelling :
       {"[[336, 672], [672, 336]]", R"j("[(336, 672), (672, 336)]")j", R"("[[336,672],[672,336]]")",
        R"j(" (( 336, 672 ),\n(672, 336),) ")j"}) {
    SCOPED_TRACE(spelling);
    const GridPairs grid = read(spelling);
    EXPECT_EQ(grid.pairs, (Pairs{{336, 672}, {672, 336}}));
    EXPECT_FALSE(grid.in_tiles);
  }
}

TEST(GridPairs, ReadsCountsOfTiles) {
  const GridPairs range = read(R"j("(1x1),...,(2x3)")j");
  EXPECT_EQ(range.pairs, (Pairs{{1, 1}, {1, 2}, {1, 3}, {2, 1}, {2, 2}, {2, 3}}));
  EXPECT_TRUE(range.in_tiles);
  // Two grids without dots are a range; one and three are themselves.
  EXPECT_EQ(read(R"j("(1x1),(2x2)")j").pairs.size(), 4u);
  EXPECT_EQ(read(R"j("(1x2),(2x1),(2x2)")j").pairs, (Pairs{{1, 2}, {2, 1}, {2, 2}}));
  EXPECT_EQ(read(R"j("(2x3)")j").pairs, (Pairs{{2, 3}}));
  // What is no grid is skipped, as the original's search does.
  EXPECT_EQ(read(R"j("((1x2) (1 x 2) (3x)")j").pairs, (Pairs{{1, 2}}));
}

TEST(GridPairs, NothingIsNoPairs) {
  for (const char* nothing : {"null", "[]", R"("[]")"}) {
    SCOPED_TRACE(nothing);
    EXPECT_TRUE(read(nothing).pairs.empty());
  }
}

TEST(GridPairs, RefusesEverythingElse) {
  std::string too_many = "[[1,1]";
  for (int i = 0; i < 4096; ++i) too_many += ",[1,1]";
  for (const std::string& bad :
       std::initializer_list<std::string>{"5",
                                          "{}",
                                          "[[336]]",
                                          "[[336, 0]]",
                                          "[[336, 1.5]]",
                                          "[[1,\"a\"]]",
                                          "[[1,70000]]",
                                          "[[1,18446744073709551615]]",
                                          "[[18446744069414584321,1]]",
                                          "[[-4294967295,1]]",
                                          "[336, 672]",
                                          R"("[336, 672]")",
                                          R"j("[(336, 672)")j",
                                          R"j("[(336 672)]")j",
                                          R"j("[(336, 65537)]")j",
                                          R"j("[(336, 99999999999)]")j",
                                          R"j("[(336, 672)] and more")j",
                                          R"j("[(336,672)(1,2)]")j",
                                          R"j("(6x6),...,(1x1)")j",
                                          R"j("(0x1),(1x1)")j",
                                          R"j("(1x1),...,(90x90)")j",
                                          R"j("(1x1),...,(999999x999999)")j",
                                          R"("x")",
                                          R"("")",
                                          too_many + "]"}) {
    SCOPED_TRACE(bad.substr(0, 60));
    try {
      read(bad);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat) << error.what();
      EXPECT_NE(std::string(error.what()).find("config.json: key 'grid'"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace llava
