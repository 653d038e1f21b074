// SPDX-License-Identifier: Apache-2.0
//
// `llava tokenize`: JSON lines in and out, with every kind of tokenizer, against what the published
// tokenizers and templates gave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program.h"
#include "support/paths.h"
#include "support/temporary_folder.h"

namespace llava::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

using Strings = std::vector<std::string>;

const std::string kData = (source_folder() / "tests/data/text/").string();

class Tokenize : public TemporaryFolder {
 protected:
  // One answer a line, in order.
  static std::vector<Json> answers(const std::string& model, const std::vector<Json>& lines,
                                   const Strings& flags = {}, int status = 0) {
    std::string input;
    for (const Json& line : lines) input += line.dump() + "\n";
    return answers_to_text(model, input, flags, status);
  }

  static std::vector<Json> answers_to_text(const std::string& model, const std::string& input,
                                           const Strings& flags = {}, int status = 0) {
    const ProcessResult result =
        run_llava(Strings{"tokenize", "--model-path", model} + flags, input);
    EXPECT_EQ(result.status, status) << result.err;
    std::vector<Json> parsed;
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = result.out.find('\n', begin)) != std::string::npos;) {
      parsed.push_back(parse_json(result.out.substr(begin, end - begin), "answer"));
      begin = end + 1;
    }
    EXPECT_EQ(begin, result.out.size()) << "the last line has no end";
    return parsed;
  }
};

// Texts, and the ids that are to be decoded, of the golden files: [text, ids, decoded, ...], where
// true as the decoded text means the text itself.
struct Golden {
  std::vector<Json> texts, ids;
  std::vector<Json> expected_ids, expected_texts, expected_plain_texts;

  void add(const Json& text, const Json& new_ids) {
    texts.push_back({{"text", text}});
    expected_ids.push_back({{"ids", new_ids}});
  }
  void add_decode(const Json& new_ids, const Json& decoded, const Json& plain) {
    ids.push_back({{"ids", new_ids}});
    expected_texts.push_back({{"text", decoded}});
    expected_plain_texts.push_back({{"text", plain}});
  }
};

const Json& or_itself(const Json& decoded, const Json& text) {
  return decoded.is_boolean() ? text : decoded;
}

class TokenizeGolden : public Tokenize {
 protected:
  static void expect_agreement(const std::string& model, const Golden& golden) {
    EXPECT_EQ(answers(model, golden.texts), golden.expected_ids);
    EXPECT_EQ(answers(model, golden.ids), golden.expected_texts);
    EXPECT_EQ(answers(model, golden.ids, {"--skip-special"}), golden.expected_plain_texts);
  }

  // Every case whose history is of texts: the prompt, or an error in its place.
  static void expect_templates(const std::string& model, const Json& file,
                               const std::string& ids_key) {
    std::vector<Json> lines;
    std::vector<const Json*> cases;
    for (const Json& item : file.at("cases")) {
      Json messages = Json::array();
      bool is_text = true;
      for (const Json& text : file.at("histories").at(item.at("history").get<std::string>())) {
        is_text = is_text && (text.is_string() || text.is_null());
        messages.push_back(Json::array({messages.size() % 2 == 0 ? "user" : "assistant", text}));
      }
      if (!is_text) continue;
      lines.push_back({{"messages", messages}, {"conv_mode", item.at("template")}});
      cases.push_back(&item);
    }
    ASSERT_GT(lines.size(), 90u);
    const std::vector<Json> found = answers(model, lines, {}, 3);
    ASSERT_EQ(found.size(), lines.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      SCOPED_TRACE(lines[i].dump());
      EXPECT_EQ(found[i].contains("error"), !cases[i]->contains("prompt"));
      if (!cases[i]->contains("prompt")) continue;
      EXPECT_EQ(found[i].at("prompt"), cases[i]->at("prompt"));
      EXPECT_EQ(found[i].at("ids"), cases[i]->value(ids_key, found[i].at("ids")));
    }
  }
};

TEST_F(Tokenize, TextToIdsAndBack) {
  const std::string text = "Hello <image> w\xC3\xB6rld \xF0\x9F\x98\x80\n";
  for (const char* model :
       {"llava-v1.5-pad", "hf-llava", "hf-qwen2", "llava-v1.6-mistral", "base-gguf.gguf",
        "hf-llava/tokenizer.json", "llava-v1.5-pad/tokenizer.model"}) {
    SCOPED_TRACE(model);
    const Json ids = answers(golden_model(model), {{{"text", text}}}).at(0).at("ids");
    ASSERT_TRUE(ids.is_array());
    const Json plain =
        answers(golden_model(model), {{{"text", text}}}, {"--no-special"}).at(0).at("ids");
    const bool has_begin = ids.size() > plain.size();
    EXPECT_EQ(has_begin, ids.at(0) == 1);
    EXPECT_EQ(ids.size(), plain.size() + (has_begin ? 1 : 0));
    const auto back = answers(golden_model(model), {{{"ids", ids}}}).at(0).at("text");
    EXPECT_THAT(back.get<std::string>(), HasSubstr("w\xC3\xB6rld \xF0\x9F\x98\x80\n"));
    EXPECT_EQ(back.get<std::string>().starts_with("<s>"), has_begin);
    const auto bare =
        answers(golden_model(model), {{{"ids", ids}}}, {"--skip-special"}).at(0).at("text");
    EXPECT_FALSE(bare.get<std::string>().starts_with("<s>"));
  }
}

TEST_F(Tokenize, BadLinesAreAnsweredInTheirPlace) {
  struct Case {
    const char* line;
    const char* code;
    const char* part;
  };
  const std::vector<Case> bad{
      {"not json", "bad_format", "byte 2"},
      {"[]", "bad_format", "object"},
      {"{}", "bad_format", "'messages'"},
      {R"({"text": 5})", "bad_format", "'text' is 5"},
      {R"({"ids": "1"})", "bad_format", "'ids'"},
      {R"({"ids": [1, 448]})", "invalid_argument", "448 is out of range, expected 0 to 447"},
      {R"({"ids": [-200]})", "invalid_argument", "-200"},
      {R"({"ids": [99999999999999999999]})", "bad_format", "'ids'"},
      {R"({"messages": "hi", "conv_mode": "v1"})", "bad_format", "[role, text]"},
      {R"({"messages": [["user"]], "conv_mode": "v1"})", "bad_format", "[role, text]"},
      {R"({"messages": [["user", "hi"]], "conv_mode": "nosuch"})", "invalid_argument", "'nosuch'"},
      {"{\"text\": \"\xFF\"}", "bad_format", "UTF-8"},
      {R"({"text": "\ud800"})", "bad_format", "surrogate"}};
  std::string input;
  for (const Case& c : bad)
    input += R"({"text": "good"})"
             "\n" +
             std::string(c.line) + "\n";
  const std::vector<Json> found =
      answers_to_text(golden_model("llava-v1.5-pad"), input + R"({"text": "good"})", {}, 3);
  ASSERT_EQ(found.size(), 2 * bad.size() + 1);
  for (std::size_t i = 0; i < bad.size(); ++i) {
    SCOPED_TRACE(bad[i].line);
    EXPECT_EQ(found[2 * i], found.back());
    const Json& error = found[2 * i + 1].at("error");
    EXPECT_EQ(error.at("code"), bad[i].code);
    EXPECT_THAT(error.at("message").get<std::string>(), HasSubstr(bad[i].part));
  }
}

TEST_F(Tokenize, NothingInNothingOut) {
  EXPECT_TRUE(answers(golden_model("hf-llava"), {}).empty());
}

TEST_F(Tokenize, ModelPathsThatAreNoTokenizers) {
  for (const std::string& path :
       {folder_.string(), (folder_ / "nowhere").string(), golden_model("hf-llava/config.json"),
        golden_image("square_28x28.png"), write("tokenizer.json", "{").string(),
        write("empty/tokenizer.model", "").string()}) {
    SCOPED_TRACE(path);
    const ProcessResult result = run_llava({"tokenize", "--model-path", path}, "{\"text\":\"a\"}");
    EXPECT_EQ(result.status, 3) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr(path));
  }
}

// The template that a checkpoint brings, and one asked for: the ids are those of `llava run`.
TEST_F(Tokenize, MessagesBecomeThePromptOfRun) {
  const Json messages = Json::array({{"user", "<image>\nWhat?"}, {"assistant", nullptr}});
  for (const char* model : {"hf-llava", "hf-qwen2", "hf-next-llama3", "llava-v1.5-pad",
                            "llava-v1.6-mistral", "llava-v1.6-34b"}) {
    for (const char* conv_mode : {"", "vicuna_v1"}) {
      SCOPED_TRACE(std::string(model) + " " + conv_mode);
      Json line{{"messages", messages}};
      Strings ask = ask_golden(model, golden_image("square_28x28.png"), "What?");
      if (*conv_mode != '\0') {
        line["conv_mode"] = conv_mode;
        ask = std::move(ask) + Strings{"--conv-mode", conv_mode};
      }
      EXPECT_EQ(answers(golden_model(model), {line}).at(0).at("ids"),
                json_of(run_llava(ask)).at("prompt_ids"));
    }
  }
  // A reply that stays open in the middle is no conversation of a chat template.
  const Json open = Json::array({{"user", "a"}, {"assistant", nullptr}, {"user", "b"}});
  EXPECT_THAT(answers(golden_model("hf-llava"), {{{"messages", open}}}, {}, 3)
                  .at(0)
                  .at("error")
                  .at("message")
                  .get<std::string>(),
              HasSubstr("null"));
}

TEST_F(TokenizeGolden, FastTokenizers) {
  const Json files = read_json_file(kData + "tokenizers.json");
  const Json goldens = read_json_file(kData + "tokenizer_goldens.json");
  for (const auto& [name, data] : goldens.items()) {
    SCOPED_TRACE(name);
    Golden golden;
    for (const Json& item : data.at("encode")) {
      golden.add(item[0], item[1]);
      golden.add_decode(item[1], or_itself(item[2], item[0]), or_itself(item[3], item[0]));
    }
    expect_agreement(write(name + ".json", files.at(name).dump()).string(), golden);
  }
}

TEST_F(TokenizeGolden, SlowTokenizers) {
  const Json goldens = read_json_file(kData + "slow_goldens.json");
  for (const auto& [name, data] : goldens.items()) {
    if (!data.at("loader").empty()) continue;  // tokens that only a whole checkpoint adds
    SCOPED_TRACE(name);
    Golden golden;
    for (const Json& item : data.at("encode")) golden.add(item[0], item[1]);
    for (const Json& item : data.at("decode")) golden.add_decode(item[0], item[1], item[2]);
    for (const auto& [file, text] : data.at("files").items()) {
      write(name + "/" + file, text.dump());
    }
    write(name + "/tokenizer.model",
          read_text(kData + data.at("model").get<std::string>() + ".model"));
    expect_agreement((folder_ / name).string(), golden);
  }
}

TEST_F(TokenizeGolden, Templates) {
  expect_templates(golden_model("llava-v1.5-pad"), read_json_file(kData + "conversations.json"),
                   "ids");
}

TEST_F(TokenizeGolden, PublishedTokensOfHuggingFace) {
  const fs::path file = shared_golden("hf/tokens.json");
  if (file.empty()) GTEST_SKIP() << "no reference data beside the checkout";
  const Json all = read_json_file(file);
  for (const auto& [name, data] : all.at("tokenizers").items()) {
    if (!data.contains("file")) continue;  // a real vocabulary, which is not there
    SCOPED_TRACE(name);
    Golden golden, plain;
    for (std::size_t i = 0; i < all.at("strings").size(); ++i) {
      const Json& text = all.at("strings")[i];
      plain.add(text, data.at("ids")[i]);
      Json ids = data.at("ids_special").at("prefix");
      for (const Json& id : data.at("ids")[i]) ids.push_back(id);
      golden.add(text, ids);
      golden.add_decode(ids, or_itself(data.at("decoded")[i], text),
                        or_itself(data.at("decoded_skip_special")[i], text));
    }
    const fs::path tokenizer = file.parent_path() / data.at("file").get<std::string>();
    for (const fs::path& model : {tokenizer, tokenizer.parent_path()}) {
      expect_agreement(model.string(), golden);
      EXPECT_EQ(answers(model.string(), plain.texts, {"--no-special"}), plain.expected_ids);
    }
  }
}

TEST_F(TokenizeGolden, PublishedTokensOfTheOriginal) {
  const fs::path file = shared_golden("orig/tokens.json");
  if (file.empty()) GTEST_SKIP() << "no reference data beside the checkout";
  const Json all = read_json_file(file);
  for (const auto& [name, folder] : std::map<std::string, std::string>{
           {"legacy_false", "legacy_false"},
           {"legacy_true", "legacy_true"},
           {"fast (o3_llava-v1.6-mistral-tiny, converted from tokenizer.model)",
            "converted_fast"}}) {
    SCOPED_TRACE(name);
    Golden golden;
    for (const char* part : {"encode", "decode"}) {
      for (const Json& item : all.at(name).at(part)) {
        if (item.contains("text")) golden.add(item.at("text"), item.at("ids"));
        golden.add_decode(item.at("ids"), item.at("decode"), item.at("decode_skip"));
      }
    }
    expect_agreement((file.parent_path() / "tokenizers" / folder).string(), golden);
  }
}

TEST_F(TokenizeGolden, PublishedTemplates) {
  const fs::path file = shared_golden("orig/templates.json");
  if (file.empty()) GTEST_SKIP() << "no reference data beside the checkout";
  const Json all = read_json_file(file);
  const std::string folder = (file.parent_path() / "tokenizers").string();
  expect_templates(folder + "/legacy_false", all, "ids_legacy_false");
  expect_templates(folder + "/legacy_true", all, "ids_legacy_true");
}

}  // namespace
}  // namespace llava::testing
