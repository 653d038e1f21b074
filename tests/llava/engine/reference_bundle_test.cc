// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/parity/reference_bundle.h"

#include <gtest/gtest.h>

#include "llava/checkpoint/safetensors.h"
#include "llava/core/error.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;
using Metadata = std::map<std::string, std::string>;

class ReferenceBundleTest : public testing::Test {
 protected:
  ReferenceBundleTest()
      : folder_(fs::path(testing::TempDir()) /
                testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::create_directories(folder_);
  }
  ~ReferenceBundleTest() override { fs::remove_all(folder_); }

  fs::path write(const Metadata& metadata,
                 const std::vector<std::pair<std::string, Tensor>>& tensors = {}) {
    const fs::path path = folder_ / "bundle.safetensors";
    checkpoint::write_safetensors(path, tensors, metadata);
    return path;
  }

  // Opens and returns the message of the expected kBadFormat.
  std::string refusal(const fs::path& path) {
    try {
      ReferenceBundle::open(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
      return error.what();
    }
    return "accepted";
  }

  fs::path folder_;
  const Metadata good_{{"format", kReferenceFormat}, {"prompt", "Hi"}, {"dtype", "bfloat16"}};
};

TEST_F(ReferenceBundleTest, ReadsWhatIsThere) {
  Metadata metadata = good_;
  metadata["images"] = R"(["../pictures/a.png"])";
  metadata["messages"] = R"([["user", "Hi"], ["assistant", null]])";
  metadata["margins"] = "[0.5, 1]";
  metadata["max_new_tokens"] = "2";
  metadata["unknown"] = "is ignored";
  const ReferenceBundle bundle = ReferenceBundle::open(write(metadata));
  EXPECT_EQ(bundle.dtype, DType::kBFloat16);
  EXPECT_EQ(bundle.images.at(0), (folder_ / "../pictures/a.png").lexically_normal());
  ASSERT_EQ(bundle.messages.size(), 2u);
  EXPECT_FALSE(bundle.messages[1].second.has_value());
  EXPECT_EQ(bundle.margins, (std::vector<float>{0.5f, 1.0f}));
  EXPECT_EQ(bundle.max_new_tokens, 2);
}

TEST_F(ReferenceBundleTest, NamesBothFormats) {
  const std::string message = refusal(write({{"format", "other/2"}, {"prompt", "Hi"}}));
  EXPECT_NE(message.find("'other/2'"), std::string::npos) << message;
  EXPECT_NE(message.find("'llava-reference/1'"), std::string::npos) << message;
}

TEST_F(ReferenceBundleTest, RefusesMalformedMetadataAndNamesTheKey) {
  const std::pair<const char*, const char*> kCases[] = {
      {"dtype", "int8"},        {"images", "{}"},       {"images", "[1]"},
      {"messages", "[[1, 2]]"}, {"margins", "[\"a\"]"}, {"max_new_tokens", "many"},
      {"lora", "sometimes"},    {"images", "not JSON"},
  };
  for (const auto& [key, value] : kCases) {
    Metadata metadata = good_;
    metadata[key] = value;
    const std::string message = refusal(write(metadata));
    EXPECT_NE(message.find(key), std::string::npos) << message;
  }
}

TEST_F(ReferenceBundleTest, RefusesTensorsOfAnotherKind) {
  const std::string message =
      refusal(write(good_, {{"input_ids", Tensor::zeros({2}, DType::kFloat32)}}));
  EXPECT_NE(message.find("'input_ids'"), std::string::npos) << message;
  EXPECT_NE(refusal(write(good_, {{"logits", Tensor::zeros({2}, DType::kFloat32)}})).find("logits"),
            std::string::npos);
}

TEST_F(ReferenceBundleTest, NeedsAPromptInOneFormOrTheOther) {
  const std::string message = refusal(write({{"format", kReferenceFormat}}));
  EXPECT_NE(message.find("'prompt'"), std::string::npos) << message;
}

TEST_F(ReferenceBundleTest, FindsTheBundlesOfAFolderInOrder) {
  EXPECT_THROW(find_bundles(folder_), Error);
  EXPECT_THROW(find_bundles(folder_ / "missing"), Error);
  checkpoint::write_safetensors(folder_ / "b.safetensors", {}, good_);
  checkpoint::write_safetensors(folder_ / "a.safetensors", {}, good_);
  const auto files = find_bundles(folder_);
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].filename(), "a.safetensors");
}

}  // namespace
}  // namespace llava::engine
