// SPDX-License-Identifier: Apache-2.0
//
// `llava image` with a bare processor file.
#include <gtest/gtest.h>

#include "llava/checkpoint/temporary_folder.h"
#include "program.h"

namespace llava::testing {
namespace {

using ImageCommand = TemporaryFolder;

// The published processors read a pair of the grid list as height and width, the original as width
// and height: a tall picture takes the tall grid with either.
TEST_F(ImageCommand, GridPairsAreReadAsThePublishedSoftwareDoes) {
  const std::string config =
      write("preprocessor_config.json",
            R"({"image_processor_type": "LlavaNextImageProcessor", "size": {"shortest_edge": 28},
                "crop_size": {"height": 28, "width": 28}, "do_resize": true,
                "image_grid_pinpoints": [[28, 56], [56, 28]]})")
          .string();
  for (const char* rules : {"hf", "original"}) {
    SCOPED_TRACE(rules);
    const Json facts =
        json_of(run_llava({"image", golden_image("portrait_45x80.png"), "--tower-config", config,
                           "--image-aspect-ratio", "anyres", "--preprocess", rules, "--json"}));
    ASSERT_TRUE(facts.is_object());
    EXPECT_EQ(facts.at("mode"), "anyres");
    ASSERT_EQ(facts.at("tiles").size(), 3u);
    EXPECT_GT(facts.at("tiles").at(2).at("y"), 0) << facts.dump();
  }
}

}  // namespace
}  // namespace llava::testing
