// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/vision_tower_folder.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "llava/checkpoint/expect_error.h"
#include "support/temporary_folder.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using llava::testing::expect_error;

class VisionTowerFolder : public llava::testing::TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    ::setenv("HF_HOME", (folder_ / "hf").c_str(), 1);
    fs::create_directories(folder_ / "models/checkpoint");
  }
  void TearDown() override {
    ::unsetenv("HF_HOME");
    TemporaryFolder::TearDown();
  }
  fs::path tower(const std::string& place) const {
    return write(place + "/config.json", "{}").parent_path();
  }
  fs::path resolve(const std::string& name) const {
    return resolve_vision_tower({.name = name,
                                 .checkpoint_folder = folder_ / "models/checkpoint",
                                 .models_root = folder_ / "root"});
  }
};

TEST_F(VisionTowerFolder, PlacesInTheirOrder) {
  const std::string name = "org/tower";
  expect_error(ErrorCode::kNotFound,
               {"'org/tower'", "models/checkpoint/org/tower", "models/org/tower", "root/org/tower",
                "root/tower", "models--org--tower", "--vision-tower"},
               [&] { resolve(name); });
  const fs::path cached = tower("hf/hub/models--org--tower/snapshots/abc");
  EXPECT_EQ(resolve(name), cached);
  const fs::path by_name = tower("root/tower");
  EXPECT_EQ(resolve(name), by_name);
  const fs::path by_hub_name = tower("root/org/tower");
  EXPECT_EQ(resolve(name), by_hub_name);
  const fs::path beside = tower("models/org/tower");
  EXPECT_EQ(resolve(name), beside);
  const fs::path inside = tower("models/checkpoint/org/tower");
  EXPECT_EQ(resolve(name), inside);
}

TEST_F(VisionTowerFolder, ExplicitFoldersAreNotSecondGuessed) {
  tower("models/checkpoint/tower");
  const fs::path given = tower("elsewhere");
  const VisionTowerQuery query{.name = "tower",
                               .checkpoint_folder = folder_ / "models/checkpoint",
                               .explicit_folder = given};
  EXPECT_EQ(resolve_vision_tower(query), given);
  expect_error(ErrorCode::kNotFound, {"nowhere"}, [&] {
    resolve_vision_tower({.name = "tower",
                          .checkpoint_folder = folder_ / "models/checkpoint",
                          .explicit_folder = folder_ / "nowhere"});
  });
}

TEST_F(VisionTowerFolder, AbsolutePathsAndTrailingSlashes) {
  const fs::path place = tower("absolute");
  EXPECT_EQ(resolve(place.string()), place);
  const fs::path beside = tower("models/towers/clip");
  const auto found = resolve_vision_tower(
      {.name = "towers/clip", .checkpoint_folder = folder_ / "models/checkpoint/"});
  EXPECT_EQ(fs::weakly_canonical(found), fs::weakly_canonical(beside));
  expect_error(ErrorCode::kNotFound, {"names no vision tower"}, [&] { resolve(""); });
}

}  // namespace
}  // namespace llava::checkpoint
