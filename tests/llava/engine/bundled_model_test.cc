// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bundled_model.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "llava/core/error.h"
#include "support/paths.h"
#include "support/temporary_folder.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;

class BundledModel : public testing::TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    ::setenv("XDG_CACHE_HOME", folder_.c_str(), 1);
  }
};

TEST_F(BundledModel, BuildFolderIsLaidOutAsAnInstallation) {
  EXPECT_TRUE(
      fs::equivalent(find_bundled_checkpoint(), source_folder() / "models/tiny-llava-smollm2"));
}

TEST_F(BundledModel, CallersFolderComesFirst) {
  const fs::path own = folder_ / "own";
  fs::create_directories(own / "tiny-llava-smollm2");
  EXPECT_EQ(find_bundled_checkpoint(own), own / "tiny-llava-smollm2");
}

TEST_F(BundledModel, LanguageModelIsInTheCacheOrWithTheRest) {
  const fs::path cached = write("llava/models/SmolLM2-135M-Instruct.Q4_1.gguf", "");
  EXPECT_EQ(find_bundled_base(folder_ / "own"), cached);
  const fs::path own = write("own/SmolLM2-135M-Instruct.Q4_1.gguf", "");
  EXPECT_EQ(find_bundled_base(folder_ / "own"), own);
}

TEST_F(BundledModel, EveryPlaceTriedIsNamed) {
  try {
    find_bundled_base(folder_ / "own");
    FAIL() << "found";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    for (const std::string& place :
         {(folder_ / "own/Smol").string(), std::string("/share/llava/models/Smol"),
          (folder_ / "llava/models/Smol").string(), std::string("scripts/setup")}) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(place));
    }
  }
}

}  // namespace
}  // namespace llava::engine
