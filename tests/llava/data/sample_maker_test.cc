// SPDX-License-Identifier: Apache-2.0
#include "llava/data/sample_maker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/data/training_template.h"
#include "llava/image/preprocess.h"
#include "llava/text/letter_tokenizer.h"
#include "llava/text/multimodal_sequence.h"
#include "support/temporary_folder.h"

namespace llava::data {
namespace {

using ::testing::HasSubstr;
using text::LetterTokenizer;

Record record_of(const std::vector<std::string>& turns, std::vector<std::string> images = {}) {
  Record record{.index = 3, .id = "q", .images = std::move(images)};
  record.has_image_key = !record.images.empty();
  for (const std::string& turn : turns) {
    const bool is_user = record.conversations.size() % 2 == 0;
    record.conversations.push_back({.from = is_user ? "human" : "gpt", .value = turn});
  }
  return record;
}

DialogueRules rules_of(const char* version) {
  return {.conversation = &training_template(version, Compat::kIntended)};
}

std::string first_text(const char* version, const std::string& value, bool start_end = false) {
  DialogueRules rules = rules_of(version);
  rules.mm_use_im_start_end = start_end;
  return *make_dialogue(record_of({value, "A."}, {"1.png"}), rules).messages.at(0).text;
}

template <class Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "accepted";
  return {};
}

TEST(Dialogue, MovesThePlaceholderOfOnePicture) {
  EXPECT_EQ(first_text("v1", "<image>\nWhat?"), "<image>\nWhat?");
  EXPECT_EQ(first_text("v1", "What?\n<image>"), "<image>\nWhat?");
  EXPECT_EQ(first_text("v1", "  Look <image> here <image> "), "<image>\nLook  here");
  EXPECT_EQ(first_text("v1", " <image> "), "<image>");
  EXPECT_EQ(first_text("v1_mmtag", "<image>\nWhat?"), "<Image><image></Image>\nWhat?");
  EXPECT_EQ(first_text("v1", "<image>\nWhat?", true), "<im_start><image><im_end>\nWhat?");
  EXPECT_EQ(first_text("v1_mmtag", "<image>", true), "<Image><im_start><image><im_end></Image>");
  EXPECT_EQ(first_text("plain", "Say what this is.\n<image>"), "<image>");
}

TEST(Dialogue, KeepsPlaceholdersOfSeveralPictures) {
  const Record record = record_of({"Is <image> like <image>?", "No."}, {"1.png", "2.png"});
  const Dialogue dialogue = make_dialogue(record, rules_of("v1"));
  EXPECT_EQ(*dialogue.messages[0].text, "Is <image> like <image>?");
  EXPECT_EQ(dialogue.num_placeholders, 2);
  check_placeholders(record, dialogue, false);
}

TEST(Dialogue, LeavesTextsAlone) {
  const Dialogue dialogue =
      make_dialogue(record_of({" What is <image>? ", "A word."}), rules_of("v1"));
  EXPECT_EQ(*dialogue.messages[0].text, " What is <image>? ");
  EXPECT_FALSE(dialogue.has_images);
  EXPECT_EQ(dialogue.num_placeholders, 0);
}

TEST(Dialogue, DropsAFirstTurnOfTheAssistant) {
  Record record = record_of({"Hi.", "Hello!"});
  record.conversations.insert(record.conversations.begin(), {.from = "gpt", .value = "Welcome."});
  EXPECT_EQ(make_dialogue(record, rules_of("v1")).messages.size(), 2U);
}

TEST(Dialogue, RefusesWhatIsNoDialogue) {
  Record record = record_of({"Hi.", "Hello!"});
  record.conversations[1].from = "system";
  EXPECT_THAT(message_of([&] { make_dialogue(record, rules_of("v1")); }),
              HasSubstr("sample 3 (id 'q'): turn 1 is from 'system', expected 'human' or 'gpt'"));
  record.conversations[1].from = "human";
  EXPECT_THAT(message_of([&] { make_dialogue(record, rules_of("v1")); }),
              HasSubstr("turn 1 is from 'human', expected 'gpt'"));
  record.conversations = {{.from = "gpt", .value = "Hi."}};
  EXPECT_THAT(message_of([&] { make_dialogue(record, rules_of("v1")); }),
              HasSubstr("has no turn of 'human'"));
  EXPECT_THAT(message_of([&] { make_dialogue(record, rules_of("plain")); }),
              HasSubstr("has 1 turns, expected two for --version plain"));
  EXPECT_THAT(message_of([&] {
                make_dialogue(record_of({"<image>", "b"}), rules_of("plain"));
              }),
              HasSubstr("has no 'image', expected a picture"));
  DialogueRules text_only = rules_of("v1");
  text_only.is_multimodal = false;
  EXPECT_THAT(message_of([&] {
                make_dialogue(record_of({"<image>", "b"}, {"1.png"}), text_only);
              }),
              HasSubstr("no --vision_tower"));
}

TEST(Dialogue, TakesRolesInAnyCaseWithoutSeparators) {
  Record record = record_of({"Hi.", "Hello!", "x"});
  record.conversations[0].from = "HUMAN";
  record.conversations[2].from = "system";
  const Dialogue dialogue = make_dialogue(record, rules_of("llava_v0"));
  EXPECT_EQ(dialogue.messages[0].role, "Human");
  EXPECT_EQ(dialogue.messages[2].role, "unknown");
  EXPECT_EQ(dialogue.trained_turns, (std::vector<std::size_t>{0, 1, 2}));
}

TEST(Dialogue, CountsPlaceholders) {
  const auto check = [](const std::vector<std::string>& turns, bool may_have_none) {
    const Record record = record_of(turns, {"1.png"});
    check_placeholders(record, make_dialogue(record, rules_of("v1")), may_have_none);
  };
  check({"<image> <image>", "a"}, false);
  check({"What?", "a"}, true);
  EXPECT_THAT(message_of([&] {
                check({"What?", "a"}, false);
              }),
              HasSubstr("sample 3 (id 'q') has 1 pictures but 0 <image> turns"));
  EXPECT_THAT(message_of([&] {
                check({"<image>", "a", "<image>", "b"}, true);
              }),
              HasSubstr("but 2 <image> turns"));
}

TEST(TrainingTemplate, FollowsThePublishedTable) {
  const auto name = [](const char* version, Compat compat) {
    return training_template(version, compat).names.front();
  };
  for (const Compat compat : {Compat::kIntended, Compat::kReference}) {
    EXPECT_EQ(name("v0", compat), "v1");
    EXPECT_EQ(name("v0.5", compat), "v1");
    EXPECT_EQ(name("mpt", compat), "mpt");
    EXPECT_EQ(name("v0_plain", compat), "plain");
  }
  EXPECT_EQ(name("nonsense", Compat::kReference), "v1");
  EXPECT_EQ(name("qwen_2", Compat::kReference), "v1");
  EXPECT_EQ(name("qwen_2", Compat::kIntended), "qwen_1_5");
  EXPECT_THAT(message_of([] { training_template("vicuna_v2", Compat::kIntended); }),
              HasSubstr("vicuna_v1"));
}

class SampleMakerTest : public llava::testing::TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    image::RgbImage picture(image::ImageSize{40, 20});
    for (std::size_t i = 0; i < picture.pixels.size(); ++i) {
      picture.pixels[i] = static_cast<uint8_t>(i * 7);
    }
    picture_ = picture;
    write("1.png", image::encode_png(picture));
    write("broken.png", std::string("\x89PNG\r\n\x1a\nno more"));
    rules_.dialogue = rules_of("v1");
    rules_.pictures.folder = folder_;
    rules_.pictures.processor.shortest_edge = 28;
    rules_.pictures.processor.crop_size = {28, 28};
    rules_.pictures.geometry.tile_size = 28;
    rules_.pictures.geometry.patches_per_side = 2;
  }

  LetterTokenizer tokenizer_{{.adds_bos = true}};
  SampleRules rules_;
  image::RgbImage picture_;
};

TEST_F(SampleMakerTest, PreparesPicturesAsInference) {
  for (const char* aspect : {"pad", "square", "anyres"}) {
    rules_.pictures.geometry.pinpoints = {{56, 28}, {28, 56}};
    set_training_aspect(rules_.pictures.geometry, aspect, Compat::kIntended);
    const SampleMaker maker(tokenizer_, rules_);
    const Sample sample = maker.make(record_of({"<image>\nWhat?", "A cat."}, {"1.png"}));
    ASSERT_EQ(sample.pictures.size(), 1U);
    const auto layout = image::plan_layout(picture_.size, rules_.pictures.geometry);
    EXPECT_EQ(sample.pictures[0].pixels.num_tiles, layout.num_tiles());
    EXPECT_EQ(sample.pictures[0].pixels.values,
              image::preprocess(picture_, rules_.pictures.processor, layout).values);
    EXPECT_EQ(std::count(sample.ids.begin(), sample.ids.end(), text::kImageSentinel), 1);
    EXPECT_EQ(expanded_length(sample),
              static_cast<int64_t>(sample.ids.size()) - 1 + layout.num_tokens);
    EXPECT_EQ(num_trained(sample), 11);  // " A cat.</s>" in letters
    EXPECT_TRUE(sample.warning.empty());
    EXPECT_GT(sample_bytes(sample), sample.pictures[0].pixels.values.size() * 4);
  }
}

TEST_F(SampleMakerTest, LeavesPixelsOutWhereTheyAreNotNeeded) {
  Sha256 asked{};
  rules_.pictures.needs_pixels = [&](const Sha256& content) {
    asked = content;
    return false;
  };
  const Sample sample =
      SampleMaker(tokenizer_, rules_).make(record_of({"<image>", "A."}, {"1.png"}));
  EXPECT_TRUE(sample.pictures[0].pixels.values.empty());
  EXPECT_EQ(sample.pictures[0].content, asked);
  EXPECT_EQ(sample.pictures[0].layout.num_tokens, 4);
}

TEST_F(SampleMakerTest, NamesTheRecordAndThePath) {
  const SampleMaker maker(tokenizer_, rules_);
  EXPECT_THAT(message_of([&] {
                maker.make(record_of({"<image>", "A."}, {"none.png"}));
              }),
              ::testing::AllOf(HasSubstr("sample 3 (id 'q')"), HasSubstr("none.png")));
  EXPECT_THAT(message_of([&] {
                maker.make(record_of({"<image>", "A."}, {"broken.png"}));
              }),
              ::testing::AllOf(HasSubstr("sample 3 (id 'q')"), HasSubstr("broken.png")));
  EXPECT_THAT(message_of([&] {
                maker.make(record_of({"Hi", "A."}, {"1.png"}));
              }),
              HasSubstr("0 <image> turns"));
  rules_.compat = Compat::kReference;
  EXPECT_EQ(
      SampleMaker(tokenizer_, rules_).make(record_of({"Hi", "A."}, {"1.png"})).pictures.size(), 1U);
}

TEST_F(SampleMakerTest, WarnsOfSamplesWithoutLabels) {
  const SampleMaker maker(tokenizer_, rules_);
  EXPECT_THAT(maker.make(record_of({"Hi."})).warning, HasSubstr("nothing of it is trained"));
  EXPECT_TRUE(maker.make(record_of({"Hi.", "Hello!"})).warning.empty());
}

TEST_F(SampleMakerTest, CutsAsTheCollator) {
  rules_.model_max_length = 4096;
  Sample sample =
      SampleMaker(tokenizer_, rules_)
          .make(record_of({"<image> and <image>", "A.", "More?", "No."}, {"1.png", "1.png"}));
  const auto second = std::find(sample.ids.rbegin(), sample.ids.rend(), text::kImageSentinel);
  const auto before_second = sample.ids.rend() - second - 1;
  Sample cut = sample;
  cut_to_length(cut, before_second + 1);
  EXPECT_EQ(cut.pictures.size(), 2U);
  cut_to_length(cut, before_second);
  EXPECT_EQ(static_cast<int64_t>(cut.ids.size()), before_second);
  EXPECT_EQ(cut.labels.size(), cut.ids.size());
  EXPECT_EQ(cut.pictures.size(), 1U);
  cut_to_length(cut, 2);
  EXPECT_EQ(cut.pictures.size(), 1U);  // seen, and not used, as the original does
  cut_to_length(sample, 100'000);
  EXPECT_EQ(sample.pictures.size(), 2U);
}

TEST_F(SampleMakerTest, ChoosesTheAspect) {
  image::ImageGeometry geometry;
  set_training_aspect(geometry, "anyres", Compat::kReference);
  EXPECT_EQ(geometry.mode, image::AspectMode::kSquare);  // published: only the config says anyres
  EXPECT_THROW(set_training_aspect(geometry, "anyres", Compat::kIntended), Error);
  EXPECT_THROW(set_training_aspect(geometry, "wide", Compat::kIntended), Error);
  geometry.pinpoints = parse_pinpoints("(1x1),...,(2x2)", 336);
  EXPECT_EQ(geometry.pinpoints.size(), 4U);
  set_training_aspect(geometry, "anyres", Compat::kIntended);
  EXPECT_EQ(geometry.mode, image::AspectMode::kAnyres);
  EXPECT_TRUE(geometry.merge.has_unpad);
  EXPECT_EQ(parse_pinpoints("[(336, 672)]", 336).front().height, 672);
  EXPECT_THROW(parse_pinpoints("large", 336), Error);
  set_training_aspect(geometry, "pad", Compat::kReference);
  EXPECT_EQ(geometry.mode, image::AspectMode::kPad);
}

}  // namespace
}  // namespace llava::data
