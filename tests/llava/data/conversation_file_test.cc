// SPDX-License-Identifier: Apache-2.0
#include "llava/data/conversation_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/core/random.h"
#include "llava/data/word_count.h"
#include "support/temporary_folder.h"

namespace llava::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kTwo = R"([
  {"id": "a", "image": "x/1.jpg", "conversations": [
    {"from": "human", "value": "<image>\nWhat is this?"}, {"from": "gpt", "value": "A cat."}]},
  {"id": 7, "conversations": [{"from": "human", "value": "Hi."}], "model": ""}
])";

std::string message_of(const std::string& text) {
  try {
    const ConversationFile file = ConversationFile::from_text(text, "data.json");
    for (int64_t i = 0; i < file.size(); ++i) file.record(i);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadFormat) << text;
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << text;
  return {};
}

TEST(ConversationFile, ReadsRecords) {
  const ConversationFile file = ConversationFile::from_text(kTwo, "data.json");
  ASSERT_EQ(file.size(), 2);
  const Record first = file.record(0);
  EXPECT_EQ(first.id, "a");
  EXPECT_TRUE(first.has_image_key);
  EXPECT_THAT(first.images, ElementsAre("x/1.jpg"));
  ASSERT_EQ(first.conversations.size(), 2U);
  EXPECT_EQ(first.conversations[0].value, "<image>\nWhat is this?");
  EXPECT_EQ(first.conversations[1].from, "gpt");
  const Record second = file.record(1);
  EXPECT_EQ(describe(second), "sample 1 (id '7')");
  EXPECT_FALSE(second.has_image_key);
  EXPECT_THROW(file.record(2), Error);
}

class ConversationFileOnDisk : public llava::testing::TemporaryFolder {};

TEST_F(ConversationFileOnDisk, ReadsFilesAndJsonLines) {
  const std::filesystem::path path =
      write("lines.jsonl",
            R"({"conversations": [{"from": "human", "value": "{\"a\": [1}"}]})"
            "\r\n\n"
            R"({"image": ["1.png", "2.png"], "conversations": [{"from": "x", "value": ""}]})"
            "\n");
  const ConversationFile file = ConversationFile::open(path);
  ASSERT_EQ(file.size(), 2);
  EXPECT_EQ(file.record(0).conversations[0].value, "{\"a\": [1}");
  EXPECT_THAT(file.record(1).images, ElementsAre("1.png", "2.png"));
  EXPECT_EQ(describe(file.record(1)), "sample 1");
  EXPECT_THROW(ConversationFile::open(folder_ / "none.json"), Error);
}

// What the parser accepts, the scan accepts, and the other way round.
TEST(ConversationFile, ScansAsTheParserParses) {
  const std::vector<std::string> values = {
      "{}",
      "{\"a\":1}",
      "{\"a\":[1,2.5e-3,-0,true,false,null,\"\\u00e9\\ud83d\\ude00\\n\"]}",
      "{\"a\":01}",
      "{\"a\":1.}",
      "{\"a\":.5}",
      "{\"a\":+1}",
      "{\"a\":NaN}",
      "{\"a\":tru}",
      "{a:1}",
      "{\"a\" 1}",
      "{\"a\":1,}",
      "{,}",
      "{\"a\":[1,]}",
      "{\"a\":\"\\x\"}",
      "{\"a\":\"\\ud83d\"}",
      "{\"a\":\"\\ude00\"}",
      "{\"a\":\"\\ud83d\\u0041\"}",
      "{\"a\":\"\\u12g4\"}",
      "{\"a\":\"\t\"}",
      "{\"a\":\"\xff\"}",
      "{\"a\":\"\xc3\xa9\"}",
      "{\"a\":1e}",
      "{\"a\":-}",
      "{\"a\":'b'}",
      "{\"a\":1]",
      "{\"a\":{\"b\":{}}}",
      "{\"a\"}",
      "{\"a\":\"",
      "{\"a\":\"\\",
      "{\"a\":1}}",
      "{\"a\":1",
      "{\"a\":\"\\u\"}"};
  for (const std::string& value : values) {
    bool is_json = true;
    try {
      parse_json(value, "x");
    } catch (const Error&) {
      is_json = false;
    }
    bool is_scanned = true;
    try {
      find_elements("[" + value + "]", "x");
    } catch (const Error&) {
      is_scanned = false;
    }
    EXPECT_EQ(is_scanned, is_json) << value;
  }
}

// Texts a few bytes away from JSON.
TEST(ConversationFile, ScansDamagedTextsAsTheParser) {
  const uint64_t seed = 11;
  Generator random(seed);
  const std::string alphabet = "{}[]\",:\\ \n\tu0d8Eae+-.1\xC3\xA9tfn";
  int64_t num_accepted = 0;
  for (int i = 0; i < 5'000; ++i) {
    std::string text =
        R"([{"a": [1, -2.5e3, true, null], "b\u00e9\ud83d\ude00": {"c": "x\\y"}}, {}])";
    for (uint64_t edit = 0, count = 1 + random.below(3); edit < count; ++edit) {
      const std::size_t at = random.below(text.size());
      const char c = alphabet[random.below(alphabet.size())];
      switch (random.below(3)) {
        case 0:
          text[at] = c;
          break;
        case 1:
          text.insert(at, 1, c);
          break;
        default:
          text.erase(at, 1);
      }
    }
    if (!text.starts_with('[')) continue;
    std::string parser;
    try {
      parse_json(text, "x");
    } catch (const Error& error) {
      parser = error.what();
    }
    if (parser.find("occurs twice") != std::string::npos) continue;  // seen record by record
    std::string scanner;
    try {
      find_elements(text, "x");
    } catch (const Error& error) {
      scanner = error.what();
    }
    ASSERT_EQ(scanner.empty(), parser.empty())
        << "seed " << seed << ": " << text << "\nscanner: " << scanner << "\nparser: " << parser;
    if (parser.empty()) ++num_accepted;
  }
  EXPECT_GT(num_accepted, 100);
}

TEST(ConversationFile, SaysWhereTextIsNoJson) {
  const std::string element = R"({"conversations": [{"from": "human", "value": "Hi."}]})";
  EXPECT_THAT(message_of("[" + element + ", " + element + ",\n]"),
              HasSubstr("data.json: not valid JSON at byte 113, in sample 2: a comma before the "
                        "closing ']'"));
  EXPECT_THAT(message_of("[" + element + " " + element + "]"),
              HasSubstr("in sample 1: expected ',' or ']' after a sample"));
  EXPECT_THAT(message_of("[" + element), HasSubstr("the file ends within the array"));
  EXPECT_THAT(message_of("[" + element + "] x"), HasSubstr("text after the closing ']'"));
  EXPECT_THAT(message_of(element + element), HasSubstr("expected the end of the line"));
  EXPECT_THAT(message_of(" \n"), HasSubstr("is empty"));
  EXPECT_THAT(message_of("[]"), HasSubstr("is an empty array"));
  EXPECT_THAT(message_of("\xEF\xBB\xBF[]"), HasSubstr("byte order mark"));
  EXPECT_THAT(message_of("3"), HasSubstr("expected '['"));
  EXPECT_THAT(message_of("[" + std::string(200, '[') + std::string(200, ']') + "]"),
              HasSubstr("nested deeper than 100 levels"));
}

TEST(ConversationFile, SaysWhatIsWrongWithASample) {
  const auto of = [](const std::string& fields) {
    return message_of("[{\"id\": \"q\"" + fields + "}]");
  };
  const std::string turns = R"(, "conversations": [{"from": "human", "value": "Hi."}])";
  EXPECT_THAT(of(""), HasSubstr("data.json: sample 0 (id 'q') has no 'conversations'"));
  EXPECT_THAT(of(R"(, "conversations": "x")"), HasSubstr("that are string, expected a list"));
  EXPECT_THAT(of(R"(, "conversations": [])"), HasSubstr("has no turn"));
  EXPECT_THAT(of(R"(, "conversations": ["x"])"), HasSubstr("turn 0 that is string"));
  EXPECT_THAT(of(R"(, "conversations": [{"from": "human"}])"), HasSubstr("turn 0 without 'value'"));
  EXPECT_THAT(of(R"(, "conversations": [{"from": 1, "value": ""}])"),
              HasSubstr("turn 0 whose 'from' is number, expected text"));
  EXPECT_THAT(of(R"(, "image": null)" + turns), HasSubstr("has an 'image' that is null"));
  EXPECT_THAT(of(R"(, "image": [])" + turns), HasSubstr("an empty list"));
  EXPECT_THAT(of(R"(, "image": "")" + turns), HasSubstr("an empty 'image'"));
  EXPECT_THAT(of(R"(, "image": ["a", 3])" + turns), HasSubstr("that is number, expected a path"));
  EXPECT_THAT(message_of("[3]"), HasSubstr("sample 0 is number, expected an object"));
  EXPECT_THAT(message_of(R"([{"id": 1, "id": 2}])"), HasSubstr("key 'id' occurs twice"));
}

TEST(ConversationFile, CountsWordsAsPython) {
  EXPECT_EQ(count_words(std::string_view("")), 0);
  EXPECT_EQ(count_words(std::string_view("  <image>\nWhat\tis this?  ")), 4);
  EXPECT_EQ(count_words(std::string_view("a\xC2\xA0"
                                         "b\xE3\x80\x80"
                                         "c\x1C"
                                         "d")),
            4);
}

TEST(ConversationFile, MeasuresLengths) {
  const ConversationFile file = ConversationFile::from_text(
      R"([{"image": "1.png", "conversations": [{"from": "human", "value": "<image>\na b"}, {"from": "gpt", "value": "c"}]},
          {"conversations": [{"from": "human", "value": "a b c"}]},
          {"conversations": [{"from": "human", "value": " "}]}])",
      "data.json");
  ThreadPool pool(2);
  EXPECT_THAT(file.lengths(Grouping::kModalityLength, pool), ElementsAre(4, -3, -1));
  EXPECT_THAT(file.lengths(Grouping::kLength, pool), ElementsAre(132, 3, 0));
  EXPECT_THAT(file.lengths(Grouping::kNone, pool), ElementsAre());
}

}  // namespace
}  // namespace llava::data
