// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/text/chat_template_source.h"
#include "support/paths.h"

namespace llava::text {
namespace {

using ::testing::HasSubstr;

const OrderedJson& goldens() {
  static const OrderedJson file =
      OrderedJson::parse(read_file(test_data() / "text/chat_templates.json", 4u << 20));
  return file;
}

std::tm golden_time() {
  const OrderedJson& now = goldens().at("now");
  std::tm time{};
  time.tm_year = now[0].get<int>() - 1900;
  time.tm_mon = now[1].get<int>() - 1;
  time.tm_mday = now[2].get<int>();
  time.tm_hour = now[3].get<int>();
  time.tm_min = now[4].get<int>();
  time.tm_sec = now[5].get<int>();
  time.tm_wday = (now[6].get<int>() + 1) % 7;
  time.tm_yday = now[7].get<int>() - 1;
  return time;
}

// Renders or fails as the case says.
void expect_case(const OrderedJson& item, const std::string& source, const OrderedJson& messages,
                 const ChatTemplateOptions& options) {
  SCOPED_TRACE(item.at("name").get<std::string>());
  try {
    const std::string text = ChatTemplate::parse(source, "case").render(messages, options);
    if (item.contains("expected")) {
      EXPECT_EQ(text, item.at("expected").get<std::string>());
    } else {
      ADD_FAILURE() << "no error but: " << text;
    }
  } catch (const Error& error) {
    if (item.contains("expected")) {
      ADD_FAILURE() << error.what();
      return;
    }
    const auto kind = item.at("error").at("kind").get<std::string>();
    EXPECT_NE(error.code(), ErrorCode::kInternal);
    EXPECT_THAT(error.what(), HasSubstr("chat template 'case' line "));
    if (kind == "raised") {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr(item.at("error").at("text").get<std::string>()));
    }
  }
}

TEST(ChatTemplate, LanguageAgreesWithThePublishedRenderer) {
  ChatTemplateOptions options;
  options.variables = &goldens().at("values");
  options.now = golden_time();
  for (const OrderedJson& item : goldens().at("value_cases")) {
    expect_case(item, item.at("template").get<std::string>(), goldens().at("value_messages"),
                options);
  }
}

TEST(ChatTemplate, ModelTemplatesAgreeWithThePublishedRenderer) {
  for (const OrderedJson& item : goldens().at("chat_cases")) {
    ChatTemplateOptions options;
    options.add_generation_prompt = item.at("add_generation_prompt").get<bool>();
    for (const auto& [name, text] : item.at("special_tokens").items()) {
      options.special_tokens[name] = text.get<std::string>();
    }
    if (!item.at("tools").is_null()) options.tools = &item.at("tools");
    if (item.contains("variables")) options.variables = &item.at("variables");
    options.now = golden_time();
    const auto key = item.at("template").get<std::string>();
    expect_case(item, goldens().at("templates").at(key).get<std::string>(), item.at("messages"),
                options);
  }
}

std::string render_source(const std::string& source, const ChatTemplateOptions& options = {}) {
  return ChatTemplate::parse(source, "t").render(OrderedJson::array(), options);
}

void expect_error(const std::string& source, ErrorCode code, const std::string& part,
                  const ChatTemplateOptions& options = {}) {
  SCOPED_TRACE(source.substr(0, 60));
  try {
    ADD_FAILURE() << "no error but: " << render_source(source, options).substr(0, 100);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(ChatTemplate, NamesWhatIsNotSupported) {
  const auto unsupported = ErrorCode::kUnsupported;
  expect_error("\n{{ 'a' | urlencode }}", unsupported, "line 2: filter 'urlencode'");
  expect_error("{{ 1 is escaped }}", unsupported, "test 'escaped'");
  expect_error("a\nb\n{% include 'x' %}", unsupported, "line 3: tag 'include'");
  expect_error("{{ 'a'.format(1) }}", unsupported, "attribute 'format' of a str");
  expect_error("{{ '%s' % 1 }}", unsupported, "'%'");
  expect_error("{{ ''.__class__ }}", unsupported, "attribute '__class__'");
  expect_error("{{ [1] | select }}", unsupported, "printing a generator");
  expect_error("{{ {}.items() }}", unsupported, "printing a dict view");
  expect_error("{% set g = [1, 2] | select %}{{ g | first }}{{ g | list }}", unsupported,
               "generator");
  expect_error("{{ 9223372036854775807 + 1 }}", unsupported, "64 bits");
  expect_error("{{ 99999999999999999999 }}", unsupported, "64 bits");
  expect_error("{{ '\\ud83d' }}", unsupported, "half a character");
  expect_error("{{ cycler(1) }}", unsupported, "function 'cycler'");
  expect_error("{% for x in [1] recursive %}{% endfor %}", unsupported, "recursive");
  expect_error("{{ dict(**{}) }}", unsupported, "'**'");
  expect_error("{% for i in [1] %}{% macro m() %}{% endmacro %}{% endfor %}", unsupported,
               "macro 'm'");
  expect_error("{{ ('a' | safe) ~ 'b' }}", unsupported, "filter 'safe'");
  expect_error(
      "{{ 'stra\xC3\x9F"
      "e' | upper }}",
      unsupported, "U+00DF");
  expect_error("{{ \xC3\xA9 }}", ErrorCode::kBadFormat, "U+00E9");
  expect_error("\xFF", ErrorCode::kBadFormat, "UTF-8");
}

std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

// Templates come from checkpoints, which anybody may have written.
TEST(ChatTemplate, HostileTemplatesEnd) {
  const auto exhausted = ErrorCode::kBadFormat;
  const std::string loops = repeated("{% for i in range(999) %}", 3);
  expect_error(loops + "{{ i }}" + repeated("{% endfor %}", 3), exhausted, "steps");
  expect_error(
      "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% "
      "endfor %}",
      exhausted, "too much text");
  expect_error("{{ 'a' * 999999999999 }}", exhausted, "too much text");
  expect_error("{{ [1] * 999999999999 }}", exhausted, "too much text");
  expect_error("{{ 'a' | replace('', 'b' * 99999999) }}", exhausted, "too much text");
  expect_error("{{ 'a' | indent(999999999999) }}", exhausted, "too much text");
  expect_error("{{ range(100001) }}", exhausted, "100000");
  expect_error("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", exhausted, "recurses");
  expect_error("{{ " + repeated("(", 9999) + "1" + repeated(")", 9999) + " }}", exhausted,
               "nesting");
  expect_error("{{ " + repeated("not ", 9999) + "1 }}", exhausted, "nesting");
  expect_error("{{ " + repeated("-", 9999) + "1 }}", exhausted, "nesting");
  expect_error("{{ 1" + repeated(" + 1", 9999) + " }}", exhausted, "chains");
  expect_error("{{ x" + repeated(".a", 9999) + " }}", exhausted, "chains");
  expect_error("{{ 1" + repeated(" | int", 9999) + " }}", exhausted, "chains");
  expect_error(repeated("{% if 1 %}", 9999), exhausted, "nesting");
  expect_error(std::string((1u << 20) + 1, ' '), exhausted, "bytes");
  expect_error(
      "{% set ns = namespace(x=[]) %}{% for i in range(999) %}{% set ns.x = [ns.x] %}{% endfor %}",
      exhausted, "deeper than");
  // A value that is shared many times over is small in memory and endless to print or compare.
  const std::string shared =
      "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% set ns.y = [ns.y, ns.y] %}{% endfor %}";
  expect_error(shared + "{{ ns.x }}", exhausted, "steps");
  expect_error(shared + "{{ ns.x | tojson }}", exhausted, "");
  expect_error(shared + "{{ ns.x == ns.y }}", exhausted, "steps");
  expect_error("{% set ns = namespace() %}{% set ns.me = ns %}", ErrorCode::kUnsupported,
               "namespace");
  // Reading a long text again and again costs time although nothing is made.
  const std::string reads = "{% set s = 'a' * 900000 %}{% for i in range(99999) %}";
  for (const char* read : {"s | length", "s[-1]", "'b' in s", "s == t", "s is lower"}) {
    expect_error("{% set t = 'a' * 900000 %}" + reads + "{% set q = " + read + " %}{% endfor %}",
                 exhausted, "");
  }
  EXPECT_EQ(render_source("{% if 1 %}a" + repeated("{% elif 1 %}b", 999) + "{% endif %}"), "a");
}

TEST(ChatTemplate, LimitsAreTheCallers) {
  const ChatTemplateOptions few_steps{.limits = {.max_steps = 10}};
  const ChatTemplateOptions few_bytes{.limits = {.max_bytes = 10}};
  expect_error("{% for i in range(20) %}{{ i }}{% endfor %}", ErrorCode::kBadFormat, "steps",
               few_steps);
  expect_error("more than ten bytes", ErrorCode::kBadFormat, "text", few_bytes);
}

TEST(ChatTemplate, SimpleMessages) {
  const std::vector<ChatMessage> messages = {{"user", "What?", 2}, {"assistant", "A cat."}};
  const ChatTemplate parts = ChatTemplate::parse(
      goldens().at("templates").at("llava_onevision").get<std::string>(), "parts");
  EXPECT_TRUE(parts.takes_parts());
  EXPECT_EQ(parts.render(messages),
            "<|im_start|>user <image><image>\nWhat?<|im_end|><|im_start|>assistant \nA "
            "cat.<|im_end|>");
  const ChatTemplate text =
      ChatTemplate::parse(goldens().at("templates").at("chatml").get<std::string>(), "text");
  EXPECT_FALSE(text.takes_parts());
  EXPECT_EQ(text.render(messages),
            "<|im_start|>user\n<image>\n<image>\nWhat?<|im_end|>\n<|im_start|>assistant\nA "
            "cat.<|im_end|>\n");
}

TEST(ChatTemplate, KnowsWhichTemplatesTakeParts) {
  const std::vector<std::string> parts = {"llava_15",          "llava_next_mistral",
                                          "llava_next_vicuna", "llava_next_llama3",
                                          "llava_onevision",   "qwen_vl",
                                          "gemma_3",           "smolvlm"};
  for (const auto& [name, source] : goldens().at("templates").items()) {
    const bool is_parts = std::find(parts.begin(), parts.end(), name) != parts.end();
    EXPECT_EQ(ChatTemplate::parse(source.get<std::string>(), name).takes_parts(), is_parts) << name;
  }
}

class ChatTemplateSource : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("llava_chat_template_" +
               std::to_string(::testing::UnitTest::GetInstance()->random_seed()) +
               ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const char* name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::string found() const {
    const auto chat_template = find_chat_template(folder_);
    return chat_template ? chat_template->source() : "(none)";
  }

  std::filesystem::path folder_;
};

TEST_F(ChatTemplateSource, Order) {
  EXPECT_EQ(found(), "(none)");
  write("tokenizer_config.json", R"({"bos_token": "x"})");
  EXPECT_EQ(found(), "(none)");
  write("tokenizer_config.json", R"({"chat_template": "config"})");
  EXPECT_EQ(found(), "config");
  write(
      "tokenizer_config.json",
      R"({"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]})");
  EXPECT_EQ(found(), "d");
  write("chat_template.json", R"({"chat_template": "json"})");
  EXPECT_EQ(found(), "json");
  write("chat_template.jinja", "jinja");
  EXPECT_EQ(found(), "jinja");
}

TEST_F(ChatTemplateSource, Malformed) {
  write("chat_template.json", R"({"chat_template": 5})");
  EXPECT_THROW(found(), Error);
  write("chat_template.json", R"({"chat_template": [{"name": "rag", "template": "r"}]})");
  try {
    found();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("found: rag"));
  }
}

TEST(ChatTemplate, GoldenFolderModels) {
  const std::filesystem::path models = source_folder() / "../shared/golden/hf/models";
  if (!std::filesystem::exists(models)) GTEST_SKIP() << "no " << models;
  const std::vector<ChatMessage> messages = {{"user", "What is this?", 1}};
  const ChatTemplateOptions options{.add_generation_prompt = true};
  EXPECT_EQ(find_chat_template(models / "m1_llava15")->render(messages, options),
            "USER: <image>\nWhat is this? ASSISTANT:");
  EXPECT_EQ(find_chat_template(models / "m2_next_mistral")->render(messages, options),
            "[INST] <image>\nWhat is this? [/INST]");
}

}  // namespace
}  // namespace llava::text
