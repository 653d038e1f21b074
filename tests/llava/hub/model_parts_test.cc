// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/model_parts.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "support/temporary_folder.h"

namespace llava::hub {
namespace {

class ModelParts : public llava::testing::TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    ::setenv("HF_HUB_CACHE", (folder_ / "hub").c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("HF_HUB_CACHE");
    TemporaryFolder::TearDown();
  }
  std::vector<ModelPart> parts(const WantedParts& wanted = {}) const {
    return missing_parts(folder_ / "model", wanted);
  }
};

TEST_F(ModelParts, ATowerThatIsNotHere) {
  write("model/config.json", R"({"mm_vision_tower":"org/tower"})");
  ASSERT_EQ(parts().size(), 1u);
  EXPECT_EQ(parts()[0].name.text(), "org/tower");
  EXPECT_TRUE(parts()[0].has_weights);
  write("hub/models--org--tower/snapshots/abc/config.json", "{}");
  EXPECT_EQ(parts().size(), 1u);  // only its configuration is here
  EXPECT_TRUE(parts({.weights = false}).empty());
  EXPECT_TRUE(parts({.tower = false}).empty());
  write("hub/models--org--tower/snapshots/abc/pytorch_model.bin", "x");
  EXPECT_TRUE(parts().empty());
}

TEST_F(ModelParts, ATowerWhoseWeightsAreInTheCheckpoint) {
  write("model/config.json", R"({"mm_vision_tower":"org/tower","unfreeze_mm_vision_tower":true})");
  ASSERT_EQ(parts().size(), 1u);
  EXPECT_FALSE(parts()[0].has_weights);
  write("hub/models--org--tower/snapshots/abc/config.json", "{}");
  EXPECT_TRUE(parts().empty());
}

TEST_F(ModelParts, TheBaseOfAnAdapter) {
  write("model/config.json", "{}");
  write("model/adapter_config.json", R"({"base_model_name_or_path":"org/base"})");
  ASSERT_EQ(parts().size(), 1u);
  EXPECT_EQ(parts()[0].name.text(), "org/base");
  EXPECT_TRUE(parts({.base = false}).empty());
  write("hub/models--org--base/snapshots/abc/config.json", "{}");
  write("hub/models--org--base/snapshots/abc/model.safetensors", "x");
  EXPECT_TRUE(parts().empty());
}

TEST_F(ModelParts, PathsAndNonsenseAreNoNames) {
  for (const char* tower :
       {R"("/data/tower")", R"("tower")", R"("../tower")", "5", "null", R"("a/b/c")"}) {
    write("model/config.json", std::string(R"({"mm_vision_tower":)") + tower + "}");
    EXPECT_TRUE(parts().empty()) << tower;
  }
  write("model/config.json", "not JSON");
  write("model/adapter_config.json", "[]");
  EXPECT_TRUE(parts().empty());
}

TEST_F(ModelParts, AllWeights) {
  write("model/config.json", "{}");
  EXPECT_FALSE(has_all_weights(folder_ / "model"));
  const auto index = write("model/model.safetensors.index.json",
                           R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  write("model/1.safetensors", "x");
  EXPECT_FALSE(has_all_weights(folder_ / "model"));
  write("model/2.safetensors", "x");
  EXPECT_TRUE(has_all_weights(folder_ / "model"));
  write("model/model.safetensors.index.json", "{}");
  EXPECT_FALSE(has_all_weights(folder_ / "model"));
  std::filesystem::remove(index);
  write("model/mm_projector.bin", "x");
  EXPECT_TRUE(has_all_weights(folder_ / "model"));
  write("model/adapter_config.json", "{}");
  EXPECT_FALSE(has_all_weights(folder_ / "model"));
  write("model/adapter_model.bin", "x");
  EXPECT_TRUE(has_all_weights(folder_ / "model"));
  write("gguf/model.gguf", "x");
  EXPECT_TRUE(has_all_weights(folder_ / "gguf"));
}

}  // namespace
}  // namespace llava::hub
