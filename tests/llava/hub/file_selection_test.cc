// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/file_selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "llava/checkpoint/expect_error.h"

namespace llava::hub {
namespace {

using llava::testing::expect_error;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

RepoListing listing_of(std::initializer_list<const char*> paths) {
  RepoListing listing{.commit = std::string(40, 'a'), .files = {}};
  for (const char* path : paths) listing.files.push_back({.path = path, .size = 1});
  return listing;
}

std::vector<std::string> paths_of(const std::vector<RepoFile>& files) {
  std::vector<std::string> paths;
  for (const RepoFile& file : files) paths.push_back(file.path);
  return paths;
}

std::vector<std::string> weights_of(const RepoListing& listing,
                                    const std::map<std::string, std::string>& texts = {}) {
  return paths_of(weight_files(
      listing,
      [&](const RepoFile& file) {
        const auto it = texts.find(file.path);
        return it == texts.end() ? std::string("{}") : it->second;
      },
      "model 'org/name'"));
}

TEST(FileSelection, DescriptionsAreTheSmallFilesAtTheTop) {
  const auto listing = listing_of({".gitattributes", "README.md", "config.json", "tokenizer.model",
                                   "model.safetensors", "model.safetensors.index.json",
                                   "onnx/config.json", "training_args.bin"});
  EXPECT_THAT(paths_of(description_files(listing)),
              ElementsAre("config.json", "tokenizer.model", "model.safetensors.index.json"));
  EXPECT_THAT(absent_files(listing), Contains("adapter_config.json"));
  EXPECT_THAT(absent_files(listing), Not(Contains("config.json")));
}

TEST(FileSelection, OneFormatOfSeveral) {
  EXPECT_THAT(weights_of(listing_of({"config.json", "flax_model.msgpack", "model.safetensors",
                                     "pytorch_model.bin", "tf_model.h5", "model.gguf"})),
              ElementsAre("model.safetensors"));
  EXPECT_THAT(weights_of(listing_of({"config.json", "pytorch_model.bin", "tf_model.h5"})),
              ElementsAre("pytorch_model.bin"));
  EXPECT_THAT(weights_of(listing_of({"config.json", "model.llava", "model.safetensors"})),
              ElementsAre("model.llava"));
  EXPECT_THAT(weights_of(listing_of({"config.json", "mm_projector.bin"})),
              ElementsAre("mm_projector.bin"));
}

TEST(FileSelection, ShardsAreThoseOfTheIndex) {
  const auto listing =
      listing_of({"config.json", "consolidated.safetensors", "model.safetensors.index.json",
                  "model-1.safetensors", "model-2.safetensors", "pytorch_model.bin"});
  const std::string index =
      R"({"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors","c":"model-1.safetensors"}})";
  EXPECT_THAT(
      weights_of(listing, {{"model.safetensors.index.json", index}}),
      ElementsAre("model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"));
  for (const char* wrong :
       {"{}", R"({"weight_map":[]})", R"({"weight_map":{"a":1}})",
        R"({"weight_map":{"a":"model-3.safetensors"}})", R"({"weight_map":{"a":"../../x"}})"}) {
    expect_error(ErrorCode::kBadFormat, {"model.safetensors.index.json"}, [&] {
      weights_of(listing, {{"model.safetensors.index.json", wrong}});
    });
  }
}

TEST(FileSelection, AdaptersNeedNoBase) {
  EXPECT_THAT(weights_of(listing_of({"config.json", "adapter_config.json", "adapter_model.bin",
                                     "adapter_model.safetensors", "non_lora_trainables.bin"})),
              UnorderedElementsAre("adapter_model.safetensors", "non_lora_trainables.bin"));
}

TEST(FileSelection, ATowerInsideTheCheckpoint) {
  const auto listing = listing_of({"config.json", "model.llava", "vision_tower/config.json",
                                   "vision_tower/preprocessor_config.json", "other/config.json"});
  EXPECT_THAT(weights_of(listing, {{"config.json", R"({"mm_vision_tower":"vision_tower"})"}}),
              UnorderedElementsAre("model.llava", "vision_tower/config.json",
                                   "vision_tower/preprocessor_config.json"));
  EXPECT_THAT(weights_of(listing, {{"config.json", R"({"mm_vision_tower":"../other"})"}}),
              ElementsAre("model.llava"));
}

TEST(FileSelection, WithoutWeights) {
  expect_error(ErrorCode::kNotFound, {"'org/name'", "GGUF", "--include", "a.Q4.gguf", "b.Q8.gguf"},
               [] {
                 weights_of(listing_of({"README.md", "a.Q4.gguf", "b.Q8.gguf"}));
               });
  expect_error(ErrorCode::kNotFound, {"'org/name'", "model.safetensors"}, [] {
    weights_of(listing_of({"README.md", "tf_model.h5"}));
  });
}

TEST(FileSelection, PatternsAreThoseOfTheHubsOwnProgram) {
  EXPECT_TRUE(matches_any({"*.gguf"}, "a/b.gguf"));
  EXPECT_TRUE(matches_any({"x", "a/"}, "a/b/c"));
  EXPECT_TRUE(matches_any({"model-?.bin"}, "model-1.bin"));
  EXPECT_TRUE(matches_any({"[!x]*"}, "abc"));
  EXPECT_TRUE(matches_any({"*"}, ".gitattributes"));
  EXPECT_FALSE(matches_any({"*.gguf", "a"}, "a/b.bin"));
  EXPECT_FALSE(matches_any({}, "a"));
}

}  // namespace
}  // namespace llava::hub
