// SPDX-License-Identifier: Apache-2.0
#include "llava/text/span_supervision.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "letter_tokenizer.h"
#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/core/random.h"
#include "llava/text/fast_tokenizer.h"
#include "llava/text/load_tokenizer.h"
#include "llava/text/multimodal_sequence.h"
#include "llava/text/tokenizer_json.h"
#include "support/paths.h"

namespace llava::text {
namespace {

namespace fs = std::filesystem;
const fs::path kData = test_data() / "text";

std::unique_ptr<Tokenizer> slow_tokenizer(const std::string& model, bool is_legacy) {
  // Tests run side by side: each has a folder of its own.
  const fs::path folder = fs::path(::testing::TempDir()) /
                          (std::string("span_supervision_") +
                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
  fs::remove_all(folder);
  fs::create_directories(folder);
  fs::copy_file(kData / (model + ".model"), folder / "tokenizer.model");
  write_file_atomically(folder / "tokenizer_config.json",
                        is_legacy ? R"({"legacy": true})" : R"({"legacy": false})");
  auto tokenizer = load_tokenizer(folder, TokenizerForm::kSlow);
  fs::remove_all(folder);
  return tokenizer;
}

std::vector<Message> dialogue_of(const ConversationTemplate& conversation,
                                 const std::vector<std::string>& turns) {
  std::vector<Message> messages;
  for (const std::string& turn : turns) {
    messages.push_back({.role = conversation.roles[messages.size() % 2], .text = turn});
  }
  return messages;
}

// What the labels say, turned back into text.
std::string trained_text(const Tokenizer& tokenizer, const SupervisedSequence& sequence) {
  std::string text;
  for (std::size_t i = 0; i < sequence.ids.size(); ++i) {
    const int32_t label = sequence.labels[i];
    if (label == kIgnoreLabel) {
      if (!text.empty() && text.back() != '|') text += '|';
    } else {
      EXPECT_EQ(label, sequence.ids[i]);
      text += label == kImageSentinel ? "<image>" : tokenizer.token_text(label);
    }
  }
  return text;
}

std::string trained_letters(const char* name, const std::vector<std::string>& turns,
                            const SupervisionOptions& options = {}) {
  const LetterTokenizer tokenizer({.adds_bos = true});
  const ConversationTemplate& conversation = find_conversation_template(name);
  return trained_text(tokenizer, supervise_spans(tokenizer, conversation,
                                                 dialogue_of(conversation, turns), options));
}

TEST(SpanSupervision, TrainsAnswersAndWhatEndsThem) {
  const std::vector<std::string> turns = {"<image>\nWhat?", "A cat.", "Sure?", "Yes."};
  EXPECT_EQ(trained_letters("v1", turns), " A cat.</s>| Yes.</s>");
  EXPECT_EQ(trained_letters("llava_llama_2", turns), " A cat. </s>| Yes. </s>");
  EXPECT_EQ(trained_letters("mistral_instruct", turns), " A cat. </s>| Yes. </s>");
  EXPECT_EQ(trained_letters("mpt", turns), "A cat.<|im_end|>|Yes.<|im_end|>");
  EXPECT_EQ(trained_letters("qwen_2", turns), "A cat.<|im_end|>|Yes.<|im_end|>|");
  EXPECT_EQ(trained_letters("llava_llama_3", turns), "A cat.<|eot_id|>|Yes.<|eot_id|>");
  EXPECT_EQ(trained_letters("plain", {"<image>", "a cat"}), "a cat\n");
}

TEST(SpanSupervision, TrainsWhatTheArithmeticGivesUp) {
  EXPECT_EQ(trained_letters("v1", {"Say ASSISTANT: now.", "a </s> b", "", "c ASSISTANT: d"}),
            " a </s> b</s>| c ASSISTANT: d</s>");
  EXPECT_EQ(trained_letters("v1", {"Hi.", "", "Again.", "Yes."}), " Yes.</s>");
  EXPECT_EQ(trained_letters("v1", {"Hi.", "Hello!", "And?"}), " Hello!</s>|");
  EXPECT_EQ(trained_letters("v1", {"Hi."}), "");
}

TEST(SpanSupervision, KeepsSentinelsAndCutsTexts) {
  EXPECT_EQ(trained_letters("v1", {"Draw.", "Here <image> it is."}), " Here <image> it is.</s>");
  const SupervisionOptions text{.has_images = false};
  EXPECT_EQ(trained_letters("v1", {"Which?", "<image>"}, text), " <image></s>");

  const LetterTokenizer tokenizer({.adds_bos = true});
  const ConversationTemplate& v1 = find_conversation_template("v1");
  const std::vector<Message> messages = dialogue_of(v1, {"Hi.", "Hello!"});
  const SupervisedSequence whole = supervise_spans(tokenizer, v1, messages, text);
  const auto limit = static_cast<int64_t>(whole.ids.size()) - 8;
  const SupervisedSequence cut =
      supervise_spans(tokenizer, v1, messages, {.has_images = false, .max_length = limit});
  EXPECT_EQ(static_cast<int64_t>(cut.ids.size()), limit);
  EXPECT_EQ(cut.labels.size(), cut.ids.size());
  EXPECT_EQ(trained_text(tokenizer, cut), " He");
}

// Texts that tokenizers trip over, but for what the original's arithmetic gives up.
std::string random_text(Generator& random) {
  static const std::vector<std::string> kParts = {"cat",
                                                  "The",
                                                  " ",
                                                  "  ",
                                                  "\n",
                                                  "\n\n",
                                                  "3",
                                                  "42",
                                                  ".",
                                                  "!?",
                                                  ":",
                                                  "USER",
                                                  "gro\xC3\x9F",
                                                  "\xE6\x96\x87\xE5\xAD\x97",
                                                  "\xF0\x9F\x98\x80",
                                                  "<s",
                                                  "</",
                                                  "[INST]",
                                                  "\t",
                                                  "_",
                                                  "- ",
                                                  "\"q\"",
                                                  " a",
                                                  " of",
                                                  "ing",
                                                  "###",
                                                  "(x)",
                                                  "\xE2\x96\x81"};
  std::string text;
  const uint64_t count = 1 + random.below(8);
  for (uint64_t i = 0; i < count; ++i) text += kParts[random.below(kParts.size())];
  // Neither empty nor only white space, at whose edges answers have other rules.
  return text + (random.below(2) == 0 ? "." : "");
}

std::vector<std::string> random_turns(Generator& random, bool has_image) {
  std::vector<std::string> turns;
  const uint64_t rounds = 1 + random.below(4);
  for (uint64_t i = 0; i < rounds; ++i) {
    turns.push_back(random_text(random));
    turns.push_back(random_text(random));
  }
  if (has_image) turns[0] = "<image>\n" + turns[0];
  return turns;
}

// Where the original does not warn, both ways are one.
TEST(SpanSupervision, EqualsTheArithmeticWhereItHolds) {
  const uint64_t seed = 20240607;
  Generator random(seed);
  for (const bool is_legacy : {true, false}) {
    const auto tokenizer = slow_tokenizer("bpe_llama", is_legacy);
    for (const char* name :
         {"v1", "llava_v1", "v1_mmtag", "llava_llama_2", "llama_2", "mistral_instruct", "plain"}) {
      const ConversationTemplate& conversation = find_conversation_template(name);
      int64_t num_equal = 0;
      for (int i = 0; i < 400; ++i) {
        const bool has_image = random.below(2) == 0;
        std::vector<std::string> turns = random_turns(random, has_image);
        if (std::string(name) == "plain") turns = {"<image>", turns[1]};
        const std::vector<Message> messages = dialogue_of(conversation, turns);
        const SupervisionOptions options{.has_images = has_image || turns[0] == "<image>"};
        const auto reference = supervise(*tokenizer, conversation, messages, options);
        const auto ours = supervise_spans(*tokenizer, conversation, messages, options);
        ASSERT_EQ(ours.ids, reference.ids) << "seed " << seed << ", template " << name;
        EXPECT_TRUE(ours.warning.empty());
        if (!reference.warning.empty()) continue;
        ASSERT_EQ(ours.labels, reference.labels)
            << "seed " << seed << ", case " << i << ", template " << name << ", legacy "
            << is_legacy << ": " << Json(turns).dump();
        ++num_equal;
      }
      // The arithmetic knows LLaMA's own vocabulary, in which USER behind </s> is a token shorter;
      // in this one it is not, and all but the dialogues of one round get a warning.
      const bool fits = is_legacy || conversation.style != SeparatorStyle::kTwo;
      EXPECT_GT(num_equal, fits ? 300 : 60) << name << ", legacy " << is_legacy;
    }
  }
}

// Tokenizers of every kind: what is trained is the answers, whatever the tokens are.
TEST(SpanSupervision, TrainsAnswersWithEveryTokenizer) {
  const uint64_t seed = 77;
  Generator random(seed);
  const Json tokenizers = read_json_file(kData / "tokenizers.json");
  for (const auto& [name, value] : tokenizers.items()) {
    const FastTokenizer tokenizer(parse_tokenizer_json(to_text(value), name));
    for (const char* style : {"v1", "mpt", "llava_llama_3", "qwen_2"}) {
      const ConversationTemplate& conversation = find_conversation_template(style);
      for (int i = 0; i < 20; ++i) {
        const auto turns = random_turns(random, false);
        const auto sequence = supervise_spans(
            tokenizer, conversation, dialogue_of(conversation, turns), {.has_images = false});
        int64_t num_runs = 0;
        bool was_trained = false;
        for (const int32_t label : sequence.labels) {
          const bool is_trained = label != kIgnoreLabel;
          if (is_trained && !was_trained) ++num_runs;
          was_trained = is_trained;
        }
        EXPECT_EQ(num_runs, static_cast<int64_t>(turns.size() / 2))
            << "seed " << seed << ", " << name << " " << style << ": " << Json(turns).dump();
      }
    }
  }
}

TEST(SpanSupervision, WorksWhereTokensDoNotFitTheText) {
  // This model normalises: a full-width letter becomes another text, which no token fits.
  const auto tokenizer = slow_tokenizer("unigram_nmt_nfkc", true);
  const ConversationTemplate& v1 = find_conversation_template("v1");
  const std::string wide = "\xEF\xBC\xA1 cat.";
  const auto sequence =
      supervise_spans(*tokenizer, v1, dialogue_of(v1, {wide, wide}), {.has_images = false});
  ASSERT_FALSE(token_offsets(*tokenizer, wide, tokenizer->encode(wide)).has_value());
  const auto head = tokenizer->encode(":", /*add_special=*/false);
  auto answer = tokenizer->encode(": " + wide + "</s>", /*add_special=*/false);
  answer.erase(answer.begin(), answer.begin() + static_cast<std::ptrdiff_t>(head.size()));
  std::vector<int32_t> trained;
  for (const int32_t label : sequence.labels) {
    if (label != kIgnoreLabel) trained.push_back(label);
  }
  EXPECT_EQ(trained, answer);
}

TEST(SpanSupervision, RefusesPlainDialoguesOfOtherForms) {
  EXPECT_THROW(trained_letters("plain", {"<image>"}), Error);
}

}  // namespace
}  // namespace llava::text
