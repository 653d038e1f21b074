// SPDX-License-Identifier: Apache-2.0
#include "llava/data/dataset_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/data/check_report.h"
#include "llava/data/length_histogram.h"
#include "llava/data/training_template.h"
#include "llava/text/letter_tokenizer.h"
#include "support/temporary_folder.h"

namespace llava::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One sample in each trap, and two that are in none.
constexpr const char* kData = R"([
 {"id": "good", "image": "1.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]},
 {"id": "text", "conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello!"}]},
 {"id": "bad_record", "conversations": "x"},
 {"id": "speaker", "conversations": [{"from": "human", "value": "Hi."}, {"from": "system", "value": "Be good."}]},
 {"id": "turns", "conversations": [{"from": "human", "value": "Hi."}, {"from": "human", "value": "Hello?"}]},
 {"id": "placeholders", "image": "1.png", "conversations": [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "A cat."}]},
 {"id": "missing", "image": "none.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A dog."}]},
 {"id": "broken", "image": "broken.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cow."}]},
 {"id": "open", "conversations": [{"from": "human", "value": "And?"}]},
 {"id": "empty", "conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": " "}]},
 {"id": "again", "conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello!"}]},
 {"id": "long", "conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]}
])";

class DatasetCheck : public llava::testing::TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    const image::RgbImage picture(image::ImageSize{30, 20});
    const std::string png = image::encode_png(picture);
    write("1.png", png);
    write("broken.png", png.substr(0, png.size() - 20));
    rules_.dialogue.conversation = &training_template("v1", Compat::kIntended);
    rules_.pictures.folder = folder_;
    rules_.pictures.geometry.patches_per_side = 2;
    rules_.model_max_length = 240;
    options_.pictures.folder = folder_;
  }

  DataReport check(const char* data, int threads = 2) {
    ThreadPool pool(threads);
    const ConversationFile file = ConversationFile::from_text(data, "data.json");
    return check_dataset(file, options_, pool);
  }

  static std::vector<int64_t> samples(const DataReport& report, Trap trap) {
    std::vector<int64_t> result;
    for (const Finding& finding : report.findings) {
      if (finding.trap == trap) result.push_back(finding.index);
    }
    return result;
  }

  text::LetterTokenizer tokenizer_{{.adds_bos = true}};
  SampleRules rules_;
  CheckOptions options_;
};

TEST_F(DatasetCheck, CountsTheTrapsOfFilesAndPictures) {
  const DataReport report = check(kData);
  EXPECT_THAT(samples(report, Trap::kBadRecord), ElementsAre(2));
  EXPECT_THAT(samples(report, Trap::kUnknownSpeaker), ElementsAre(3));
  EXPECT_THAT(samples(report, Trap::kNoAlternation), ElementsAre(4));
  EXPECT_THAT(samples(report, Trap::kPlaceholders), ElementsAre(5));
  EXPECT_THAT(samples(report, Trap::kMissingPicture), ElementsAre(6));
  EXPECT_THAT(samples(report, Trap::kBadPicture), ElementsAre(7));
  EXPECT_THAT(samples(report, Trap::kEmptyAnswer), ElementsAre(9));
  EXPECT_THAT(samples(report, Trap::kDuplicate), ElementsAre(10));
  EXPECT_EQ(report.num_samples, 12);
  EXPECT_EQ(report.num_with_pictures, 4);
  EXPECT_EQ(report.num_pictures, 3);
  EXPECT_EQ(report.lengths[0], 4);
  EXPECT_FALSE(report.is_in_tokens);
  EXPECT_FALSE(report.passes());
  EXPECT_TRUE(report.is_error(Trap::kBadPicture));
  EXPECT_FALSE(report.is_error(Trap::kDuplicate));
}

TEST_F(DatasetCheck, MeasuresWhatTheModelSees) {
  const SampleMaker maker(tokenizer_, rules_);
  options_.maker = &maker;
  const DataReport report = check(kData);
  EXPECT_THAT(samples(report, Trap::kUntrained), ElementsAre(8));
  EXPECT_THAT(samples(report, Trap::kCut), ElementsAre(11));
  EXPECT_THAT(samples(report, Trap::kTemplate), ElementsAre(-1));  // letters have no "</s>"
  EXPECT_TRUE(report.is_error(Trap::kUntrained));
  EXPECT_TRUE(report.is_in_tokens);
  const Sample good = maker.make(ConversationFile::from_text(kData, "data.json").record(0));
  EXPECT_EQ(report.lengths[0], expanded_length(good));
  EXPECT_GT(report.num_labels, 0);
  EXPECT_LE(report.num_labels, 240 * 12);
}

TEST_F(DatasetCheck, SeesPicturesThatFillTheLimit) {
  rules_.model_max_length = 4;
  const SampleMaker maker(tokenizer_, rules_);
  options_.maker = &maker;
  EXPECT_THAT(samples(check(kData), Trap::kLongPicture), ElementsAre(0));
}

TEST_F(DatasetCheck, PassesGoodData) {
  const SampleMaker maker(tokenizer_, rules_);
  options_.maker = &maker;
  const DataReport report = check(
      R"([{"image": "1.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]}])");
  EXPECT_TRUE(report.passes());
  EXPECT_EQ(check_report_errors(report), "");
  EXPECT_EQ(report.num_labels, 11);
}

TEST_F(DatasetCheck, LooksAsCloselyAsItIsTold) {
  options_.depth = PictureDepth::kHeader;
  DataReport report = check(kData);
  EXPECT_EQ(report.count(Trap::kMissingPicture), 1);
  EXPECT_EQ(report.count(Trap::kBadPicture), 0);  // its header is good
  options_.depth = PictureDepth::kNone;
  report = check(kData);
  EXPECT_EQ(report.count(Trap::kMissingPicture), 0);
  EXPECT_EQ(report.num_pictures, 0);
}

TEST_F(DatasetCheck, FindsTheSameWithAnyThreads) {
  std::string data = "[";
  for (int i = 0; i < 1000; ++i) {
    data += fmt::format(
        R"({}{{"id": {}, "conversations": [{{"from": "{}", "value": "q{}"}}, {{"from": "gpt", "value": "a"}}]}})",
        i == 0 ? "" : ",", i, i % 7 == 3 ? "nobody" : "human", i % 400);
  }
  data += "]";
  options_.most_findings = 5;
  uint64_t last = 0;
  options_.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_GT(done, last);
    EXPECT_EQ(total, 1000U);
    last = done;
  };
  const std::string one = to_text(check_report_json(check(data.c_str(), 1)));
  EXPECT_EQ(last, 1000U);
  last = 0;
  EXPECT_EQ(to_text(check_report_json(check(data.c_str(), 4))), one);
  const DataReport report = [&] {
    last = 0;
    return check(data.c_str(), 3);
  }();
  EXPECT_EQ(report.count(Trap::kUnknownSpeaker), 143);
  EXPECT_THAT(samples(report, Trap::kUnknownSpeaker), ElementsAre(3, 10, 17, 24, 31));
}

TEST_F(DatasetCheck, KeepsTheFirstOfManyFindings) {
  std::string data = "[{}";
  for (int i = 1; i < 20'000; ++i) data += ",{}";
  data += "]";
  const DataReport report = check(data.c_str(), 4);
  EXPECT_EQ(report.count(Trap::kBadRecord), 20'000);
  ASSERT_EQ(report.findings.size(), 20U);
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(report.findings[i].index, static_cast<int64_t>(i));
  }
}

TEST_F(DatasetCheck, ReportsForPeopleAndPrograms) {
  const DataReport report = check(kData);
  const std::string text = check_report_text(report);
  EXPECT_THAT(text, HasSubstr("12 (4 with pictures, 8 without)"));
  EXPECT_THAT(text, HasSubstr("error   missing_picture"));
  EXPECT_THAT(text, HasSubstr("warning duplicate"));
  EXPECT_THAT(text, HasSubstr("sample 10 (id 'again') is the same as sample 1 (id 'text')"));
  const OrderedJson json = check_report_json(report);
  EXPECT_FALSE(json.at("passes").get<bool>());
  EXPECT_EQ(json.at("traps").at("bad_picture").at("count"), 1);
  EXPECT_EQ(json.at("findings").at(0).at("sample"), 2);
  int64_t in_bars = 0;
  for (const OrderedJson& count : json.at("lengths").at("bars")) in_bars += count.get<int64_t>();
  EXPECT_EQ(in_bars, report.num_samples);
  EXPECT_THAT(check_report_errors(report), HasSubstr("1 bad_record, 1 unknown_speaker"));
  const std::string svg = check_report_svg(report);
  EXPECT_TRUE(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
  EXPECT_THAT(svg, HasSubstr("data.json: 12 samples"));
}

TEST(LengthHistogram, SummarizesAndDraws) {
  const std::vector<int32_t> lengths = {5, 1, 9, 3, 7};
  const LengthSummary summary = summarize_lengths(lengths);
  EXPECT_EQ(summary.min, 1);
  EXPECT_EQ(summary.median, 5);
  EXPECT_EQ(summary.max, 9);
  EXPECT_EQ(summary.mean, 5.0);
  EXPECT_EQ(summarize_lengths({}).max, 0);
  const std::string svg =
      length_histogram_svg(lengths, {.title = "a < b & \"c\"", .unit = "words", .limit = 8});
  EXPECT_THAT(svg, HasSubstr("a &lt; b &amp; &quot;c&quot;"));
  EXPECT_THAT(svg, HasSubstr("limit 8"));
  EXPECT_THAT(svg, HasSubstr("3 to 3 words: 1 samples"));
  EXPECT_FALSE(length_histogram_svg({}, {}).empty());
}

TEST(LengthHistogram, Counts) {
  const std::vector<int32_t> lengths = {0, 149, 150, 399};
  const LengthBars bars = count_lengths(lengths, 500);
  EXPECT_EQ(bars.width, 20);
  ASSERT_EQ(bars.counts.size(), 26U);
  EXPECT_EQ(bars.counts[0], 1);
  EXPECT_EQ(bars.counts[7], 2);
  EXPECT_EQ(bars.counts[19], 1);
  EXPECT_EQ(bars.most, 2);
}

}  // namespace
}  // namespace llava::data
