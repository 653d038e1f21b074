// SPDX-License-Identifier: Apache-2.0
//
// The cache folder: a second run about a picture neither encodes it nor computes it again, and says
// the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "program.h"

namespace llava::testing {
namespace {

using ::testing::HasSubstr;

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

class CacheTest : public ::testing::Test {
 protected:
  CacheTest() {
    std::string pattern = (fs::temp_directory_path() / "llava-cache-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~CacheTest() override { fs::remove_all(folder_); }

  Json ask(const std::string& query, const Strings& more,
           const std::string& model = "llava-v1.5-pad") const {
    return json_of(run_llava(ask_golden(model, golden_image("landscape_96x64.jpg"), query) + more));
  }
  Json ask_cached(const std::string& query, const Strings& more = {},
                  const std::string& model = "llava-v1.5-pad") const {
    return ask(query, Strings{"--cache-dir", folder_} + more, model);
  }

  static int usage(const Json& answer, const char* key) { return answer.at("usage").at(key); }

  // Answers are the same whether anything was cached.
  void expect_same(const Json& answer, const std::string& query,
                   const std::string& model = "llava-v1.5-pad") const {
    const Json expected = ask(query, {}, model);
    EXPECT_EQ(answer.at("text"), expected.at("text"));
    EXPECT_EQ(answer.at("generated_ids"), expected.at("generated_ids"));
  }

  std::string folder_;
};

TEST_F(CacheTest, ASecondRunGoesOnFromThePin) {
  const Json first = ask_cached("What is this?", {"--pin", "picture"});
  EXPECT_EQ(usage(first, "cached_tokens"), 0);
  EXPECT_EQ(usage(first, "encoded_images"), 1);
  expect_same(first, "What is this?");
  // Another question, named or not.
  for (const Strings& more : {Strings{"--pin", "picture"}, Strings{}}) {
    const Json second = ask_cached("Which colour is it?", more);
    EXPECT_GE(usage(second, "cached_tokens"), 16);
    EXPECT_EQ(usage(second, "cached_tokens") % 16, 0);
    EXPECT_EQ(usage(second, "encoded_images"), 0);
    expect_same(second, "Which colour is it?");
  }
}

TEST_F(CacheTest, WithoutAPinFeaturesAreKept) {
  for (const char* model : {"llava-v1.5-pad", "llava-v1.6-mistral"}) {
    EXPECT_EQ(usage(ask_cached("What is this?", {}, model), "encoded_images"), 1);
    const Json second = ask_cached("Which colour is it?", {}, model);
    EXPECT_EQ(usage(second, "encoded_images"), 0);
    EXPECT_EQ(usage(second, "cached_tokens"), 0);
    expect_same(second, "Which colour is it?", model);
  }
}

TEST_F(CacheTest, ChatSharesThePinsOfRun) {
  const Strings chat{"chat",
                     "--model-path",
                     golden_model("llava-v1.5-pad"),
                     "--image-file",
                     golden_image("landscape_96x64.jpg"),
                     "--temperature",
                     "0",
                     "--dtype",
                     "float32",
                     "--max-new-tokens",
                     "4",
                     "--cache-dir",
                     folder_,
                     "--pin",
                     "picture"};
  EXPECT_EQ(run_llava(chat, "What is this?\nAnd what else?\n").status, 0);
  EXPECT_GE(usage(ask_cached("Which colour is it?"), "cached_tokens"), 16);
}

TEST_F(CacheTest, OtherWeightsAndOtherTypesFindNothing) {
  ask_cached("What is this?", {"--pin", "picture"});
  const Json other_model = ask_cached("What is this?", {}, "hf-llava");
  EXPECT_EQ(usage(other_model, "cached_tokens"), 0);
  EXPECT_EQ(usage(other_model, "encoded_images"), 1);
  const Json other_kv = ask_cached("What is this?", {"--kv-dtype", "int8"});
  EXPECT_EQ(usage(other_kv, "cached_tokens"), 0);
  EXPECT_EQ(usage(other_kv, "encoded_images"), 0) << "the features are the same";
}

TEST_F(CacheTest, ADamagedFileIsSaidOnceAndCostsNothingElse) {
  ask_cached("What is this?", {"--pin", "picture"});
  for (const auto& entry : fs::directory_iterator(folder_)) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file.put('\x5a');
  }
  const Strings arguments =
      ask_golden("llava-v1.5-pad", golden_image("landscape_96x64.jpg"), "What is this?");
  const ProcessResult result = run_llava(arguments + Strings{"--cache-dir", folder_});
  expect_same(json_of(result), "What is this?");
  EXPECT_THAT(result.err, HasSubstr("cache_file_removed"));
  const ProcessResult again = run_llava(arguments + Strings{"--cache-dir", folder_});
  EXPECT_EQ(again.err.find("cache_file_removed"), std::string::npos) << again.err;
}

TEST_F(CacheTest, RefusesAPinWithoutAFolderAndAFolderThatCannotBe) {
  const Strings arguments =
      ask_golden("llava-v1.5-pad", golden_image("landscape_96x64.jpg"), "What is this?");
  EXPECT_THAT(error_of(run_llava(arguments + Strings{"--pin", "x"}), 2, "invalid_argument"),
              HasSubstr("--cache-dir"));
  std::ofstream(folder_ + "/file") << "x";
  EXPECT_THAT(error_of(run_llava(arguments + Strings{"--cache-dir", folder_ + "/file/folder"}), 3,
                       "not_found"),
              HasSubstr("file/folder"));
}

}  // namespace
}  // namespace llava::testing
