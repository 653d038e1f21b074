// SPDX-License-Identifier: Apache-2.0
//
// Ids and labels of whole records against those of the original's own preprocessing, where the
// specification folder is present: every template, both dialects, every way to go wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/data/conversation_file.h"
#include "llava/data/sample_maker.h"
#include "llava/data/training_template.h"
#include "llava/image/processor_config.h"
#include "llava/text/load_tokenizer.h"
#include "llava/text/supervision.h"
#include "support/paths.h"

namespace llava::data {
namespace {

namespace fs = std::filesystem;

class LabelGoldens : public ::testing::TestWithParam<Compat> {
 protected:
  void SetUp() override {
    folder_ = source_folder() / ".." / "shared" / "golden" / "orig";
    if (!fs::exists(folder_ / "labels.json")) GTEST_SKIP() << folder_ << " is not there";
    golden_ = read_json_file(folder_ / "labels.json");
    file_ = std::make_unique<ConversationFile>(
        ConversationFile::from_text(golden_.at("samples").dump(), "labels.json"));
    for (int64_t i = 0; i < file_->size(); ++i) records_[file_->record(i).id] = file_->record(i);
  }

  fs::path folder_;
  Json golden_;
  std::unique_ptr<ConversationFile> file_;
  std::map<std::string, Record> records_;
};

std::vector<int32_t> labels_of(const std::vector<int32_t>& ids, const Json& spans) {
  std::vector<int32_t> labels(ids.size(), text::kIgnoreLabel);
  for (const Json& span : spans) {
    for (auto i = span.at(0).get<std::size_t>(); i < span.at(1).get<std::size_t>(); ++i) {
      labels[i] = ids[i];
    }
  }
  return labels;
}

TEST_P(LabelGoldens, Agree) {
  int64_t num_compared = 0;
  for (const Json& run : golden_.at("runs")) {
    const auto version = run.at("version").get<std::string>();
    const auto tokenizer =
        text::load_tokenizer(folder_ / "tokenizers" / run.at("tokenizer").get<std::string>(),
                             text::TokenizerForm::kSlow);
    for (const Json& token : run.at("added_special_tokens")) {
      tokenizer->add_special_token(token.get<std::string>());
    }
    if (GetParam() == Compat::kIntended && version == "nonsense_name") {
      EXPECT_THROW(training_template(version, GetParam()), Error);
      continue;
    }
    SampleRules rules{
        .dialogue = {.conversation = &training_template(version, GetParam()),
                     .mm_use_im_start_end = run.at("mm_use_im_start_end").get<bool>()},
        .pictures = {},
        .compat = GetParam(),
        .model_max_length = run.at("model_max_length").get<int64_t>(),
        .pad_id = training_pad_id(version, *tokenizer)};
    EXPECT_EQ(rules.pad_id, run.at("pad_token_id").get<int32_t>());
    // The arithmetic of this style is wrong even where its sums happen to be right: it trains the
    // line end before the first answer and not what ends it.
    const bool agrees_by_accident =
        rules.dialogue.conversation->style == text::SeparatorStyle::kMpt;
    const SampleMaker maker(*tokenizer, rules);
    for (const Json& result : run.at("results")) {
      const auto id = result.at("id").get<std::string>();
      const std::string name = run.at("tokenizer").get<std::string>() + " " + version + " " + id;
      // A literal <image> without a picture, which the plain template is not given here.
      if (version == "plain" && !records_.at(id).has_image_key) continue;
      if (result.contains("error")) {
        EXPECT_THROW(maker.make_text(records_.at(id)), Error) << name;
        continue;
      }
      const bool has_warning = result.contains("warnings");
      const Sample sample = maker.make_text(records_.at(id));
      const auto ids = result.at("input_ids").get<std::vector<int32_t>>();
      EXPECT_EQ(sample.ids, ids) << name;
      if (GetParam() == Compat::kReference) {
        EXPECT_EQ(sample.labels, labels_of(ids, result.at("label_spans"))) << name;
        if (has_warning) {
          EXPECT_EQ(sample.warning, result.at("warnings").at(0).get<std::string>()) << name;
        }
        ++num_compared;
      } else if (!has_warning && !agrees_by_accident) {
        EXPECT_EQ(sample.labels, labels_of(ids, result.at("label_spans"))) << name;
        ++num_compared;
      }
    }
  }
  EXPECT_GT(num_compared, 500);
}

// Every micro-batch of the recorded runs: its padded length and its trained labels.
TEST(WholeRuns, HaveTheRecordedBatches) {
  const fs::path folder = source_folder() / ".." / "shared" / "golden" / "orig";
  if (!fs::exists(folder / "train")) GTEST_SKIP() << folder << " is not there";
  for (const auto& run : fs::directory_iterator(folder / "train")) {
    if (!fs::exists(run.path() / "expected.json")) continue;
    const Json expected = read_json_file(run.path() / "expected.json");
    const Json flags = read_json_file(run.path() / "run.json").at("flags");
    const auto tokenizer = text::load_tokenizer(
        folder / flags.at("model_name_or_path").get<std::string>(), text::TokenizerForm::kSlow);
    const auto version = flags.at("version").get<std::string>();
    SampleRules rules{.dialogue = {.conversation = &training_template(version, Compat::kReference)},
                      .pictures = {},
                      .compat = Compat::kReference,
                      .model_max_length = flags.at("model_max_length").get<int64_t>(),
                      .pad_id = training_pad_id(version, *tokenizer)};
    const SampleMaker maker(*tokenizer, rules);
    const ConversationFile file =
        ConversationFile::open(folder / flags.at("data_path").get<std::string>());
    std::size_t at = 0;
    for (const Json& step : expected.at("asis").at("steps")) {
      for (std::size_t micro = 0; micro < step.at("micro_shapes").size(); ++micro) {
        const Json& shape = step.at("micro_shapes").at(micro);
        std::size_t length = 0;
        int64_t labels = 0;
        for (int64_t i = 0; i < shape.at(0).get<int64_t>(); ++i) {
          Sample sample =
              maker.make_text(file.record(expected.at("order").at(at++).get<int64_t>()));
          cut_to_length(sample, rules.model_max_length);
          length = std::max(length, sample.ids.size());
          labels += num_trained(sample);
        }
        EXPECT_EQ(length, shape.at(1).get<std::size_t>())
            << run.path() << " step " << step.at("step");
        EXPECT_EQ(labels, step.at("micro_label_tokens").at(micro).get<int64_t>())
            << run.path() << " step " << step.at("step");
      }
    }
  }
}

// The tensors of a safetensors file, as far as this test needs them.
template <class T>
std::vector<T> tensor_of(const std::string& file, const std::string& name) {
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  const Json header = Json::parse(file.substr(8, header_bytes));
  const Json& range = header.at(name).at("data_offsets");
  const auto begin = range.at(0).get<std::size_t>();
  std::vector<T> values((range.at(1).get<std::size_t>() - begin) / sizeof(T));
  std::memcpy(values.data(), file.data() + 8 + header_bytes + begin, values.size() * sizeof(T));
  return values;
}

// The first batch that the original gave its model: ids, labels and pixels, bit for bit.
TEST(WholeRuns, BeginWithTheRecordedTensors) {
  const fs::path folder = source_folder() / ".." / "shared" / "golden" / "orig";
  const fs::path run = folder / "train" / "stage1";
  if (!fs::exists(run / "first_batch.safetensors")) GTEST_SKIP() << run << " is not there";
  const std::string batch = read_file(run / "first_batch.safetensors", 1 << 20);
  const auto tokenizer =
      text::load_tokenizer(folder / "base_llama-tiny", text::TokenizerForm::kSlow);
  SampleRules rules{.dialogue = {.conversation = &training_template("plain", Compat::kIntended)},
                    .model_max_length = 2048,
                    .pad_id = training_pad_id("plain", *tokenizer)};
  rules.pictures.folder = folder / "train" / "data" / "images";
  rules.pictures.processor = image::load_image_processor_config(folder / "towers" / "clip-tiny-56");
  rules.pictures.geometry = {.tile_size = 56, .patches_per_side = 4};
  const SampleMaker maker(*tokenizer, rules);
  const ConversationFile file = ConversationFile::open(folder / "train" / "data" / "plain60.json");
  const Json order = read_json_file(run / "expected.json").at("order");

  const auto ids = tensor_of<int64_t>(batch, "input_ids");
  const std::size_t length = ids.size() / 2;
  std::vector<int64_t> our_ids;
  std::vector<int64_t> our_labels;
  std::vector<float> our_pixels;
  for (std::size_t i = 0; i < 2; ++i) {
    Sample sample = maker.make(file.record(order.at(i).get<int64_t>()));
    sample.ids.resize(length, rules.pad_id);
    sample.labels.resize(length, text::kIgnoreLabel);
    our_ids.insert(our_ids.end(), sample.ids.begin(), sample.ids.end());
    our_labels.insert(our_labels.end(), sample.labels.begin(), sample.labels.end());
    const std::vector<float>& pixels = sample.pictures.at(0).pixels.values;
    our_pixels.insert(our_pixels.end(), pixels.begin(), pixels.end());
  }
  EXPECT_EQ(our_ids, ids);
  EXPECT_EQ(our_labels, tensor_of<int64_t>(batch, "labels"));
  EXPECT_EQ(our_pixels, tensor_of<float>(batch, "images"));
}

INSTANTIATE_TEST_SUITE_P(Both, LabelGoldens,
                         ::testing::Values(Compat::kReference, Compat::kIntended),
                         [](const auto& test) {
                           return test.param == Compat::kReference ? "Reference" : "Intended";
                         });

}  // namespace
}  // namespace llava::data
