// SPDX-License-Identifier: Apache-2.0
//
// `llava data`: what it finds, prints, writes and returns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "llava/core/file.h"
#include "program.h"
#include "support/paths.h"
#include "support/temporary_folder.h"

namespace llava::testing {
namespace {

using ::testing::HasSubstr;

class Data : public TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    std::filesystem::copy_file(
        source_folder() / "models/tiny-llava-smollm2/examples/red_triangle.png", folder_ / "1.png");
  }

  std::string good() const {
    return write(
               "good.json",
               R"([{"id": "a", "image": "1.png", "conversations": [{"from": "human", "value": "<image>\nWhat is this?"}, {"from": "gpt", "value": "A shape."}]}])")
        .string();
  }
  std::string bad() const {
    return write(
               "bad.json",
               R"([{"id": "a", "image": "none.png", "conversations": [{"from": "human", "value": "<image>\nWhat is this?"}, {"from": "gpt", "value": "A shape."}]},
                     {"id": "b", "image": "1.png", "conversations": [{"from": "human", "value": "What is this?"}, {"from": "gpt", "value": "A shape."}]}])")
        .string();
  }
};

TEST_F(Data, ChecksGoodData) {
  const auto svg = folder_ / "lengths.svg";
  const ProcessResult result = run_llava(
      {"data", "check", good(), "--image_folder", folder_.string(), "--histogram", svg.string()});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("1 (1 with pictures, 0 without)"));
  EXPECT_THAT(result.out, HasSubstr("No trap found."));
  EXPECT_THAT(read_file(svg, 1 << 20), HasSubstr("<svg "));
}

TEST_F(Data, FailsWithTheSamplesInTraps) {
  const ProcessResult result =
      run_llava({"data", "check", bad(), "--image-folder", folder_.string()});
  EXPECT_EQ(result.status, 5);
  EXPECT_THAT(result.out, HasSubstr("missing_picture"));
  EXPECT_THAT(result.out, HasSubstr("none.png"));
  EXPECT_THAT(result.out, HasSubstr("sample 1 (id 'b') has 1 pictures but 0 <image> turns"));
  const Json report = Json::parse(
      run_llava({"data", "check", bad(), "--image-folder", folder_.string(), "--json"}).out);
  EXPECT_FALSE(report.at("passes").get<bool>());
  EXPECT_EQ(report.at("traps").at("placeholders").at("count"), 1);
  EXPECT_EQ(report.at("findings").size(), 2U);
}

TEST_F(Data, MeasuresWithACheckpoint) {
  const std::string model = golden_model("llava-v1.5-pad");
  const Json report =
      json_of(run_llava({"data", "check", good(), "--image-folder", folder_.string(), "--json",
                         "--model_name_or_path", model, "--model_max_length", "2048"}));
  EXPECT_EQ(report.at("lengths").at("unit"), "tokens");
  EXPECT_GT(report.at("labels").get<int>(), 0);
  const ProcessResult tight =
      run_llava({"data", "check", good(), "--image-folder", folder_.string(),
                 "--model_name_or_path", model, "--model_max_length", "8"});
  EXPECT_EQ(tight.status, 5);
}

TEST_F(Data, SaysWhatIsWrong) {
  const std::string comma = write("comma.json", "[{\"conversations\": []},]").string();
  ProcessResult result = run_llava({"data", "check", comma});
  EXPECT_EQ(result.status, 3);
  EXPECT_THAT(result.err, HasSubstr("at byte 23, in sample 1: a comma before the closing ']'"));
  result = run_llava({"data", "check", good(), "--version", "vicuna_v2"});
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("vicuna_v1"));
  EXPECT_EQ(run_llava({"data", "check"}).status, 2);
  EXPECT_EQ(run_llava({"data", "check", (folder_ / "none.json").string()}).status, 3);
  result = run_llava({"data", "chek"});
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("did you mean 'check'?"));
}

TEST_F(Data, ConvertsScienceQa) {
  write("pid_splits.json", R"({"train": ["7"]})");
  write(
      "problems.json",
      R"({"7": {"question": "Q?", "choices": ["x", "y"], "answer": 1, "hint": "", "lecture": "L.", "solution": "S.", "image": null}})");
  const ProcessResult result = run_llava({"data", "scienceqa", "convert_to_llava", "--base-dir",
                                          folder_.string(), "--split", "train"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "Number of samples: 1\n");
  const std::string file = (folder_ / "llava_train_QCM-LEA.json").string();
  EXPECT_THAT(read_file(file, 1 << 20), HasSubstr("L. S. The answer is B."));
  EXPECT_EQ(run_llava({"data", "check", file}).status, 0);
  EXPECT_EQ(run_llava({"data", "scienceqa", "convert", "--base-dir", folder_.string(), "--split",
                       "train"})
                .status,
            2);
}

}  // namespace
}  // namespace llava::testing
