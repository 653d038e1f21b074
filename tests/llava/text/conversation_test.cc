// SPDX-License-Identifier: Apache-2.0
#include "llava/text/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/text/template_cases.h"
#include "support/paths.h"

namespace llava::text {
namespace {

using ::testing::HasSubstr;

void expect_cases(const Json& file, const char* image_key) {
  for (const Json& item : file.at("cases")) {
    const auto name = item.at("template").get<std::string>();
    const auto history = item.at("history").get<std::string>();
    SCOPED_TRACE(name + " " + history);
    const ConversationTemplate& conversation = find_conversation_template(name);
    const std::vector<Message> messages =
        messages_of(conversation, file.at("histories").at(history), image_key);
    if (item.contains("prompt")) {
      EXPECT_EQ(render_conversation(conversation, messages), item.at("prompt").get<std::string>());
      continue;
    }
    // The golden folder writes the exception's type in front.
    auto expected = item.at("error").get<std::string>();
    if (const size_t colon = expected.find("Error: "); colon != std::string::npos) {
      expected.erase(0, colon + 7);
    }
    try {
      ADD_FAILURE() << "no error: " << render_conversation(conversation, messages);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr(expected));
    }
  }
}

TEST(Conversation, AgreesWithTheOriginal) {
  expect_cases(read_json_file(test_data() / "text/conversations.json"), "image");
}

TEST(Conversation, AgreesWithTheGoldenFolder) {
  const std::filesystem::path path = source_folder() / "../shared/golden/orig/templates.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const Json file = read_json_file(path);
  expect_cases(file, "tuple");
  for (const auto& [name, expected] : file.at("templates").items()) {
    const ConversationTemplate& conversation = find_conversation_template(name);
    EXPECT_EQ(conversation.system, expected.at("system").get<std::string>());
    EXPECT_EQ(conversation.roles[0], expected.at("roles")[0].get<std::string>());
    EXPECT_EQ(conversation.roles[1], expected.at("roles")[1].get<std::string>());
    EXPECT_EQ(conversation.sep, expected.at("sep").get<std::string>());
    EXPECT_EQ(conversation.sep2.has_value(), expected.at("sep2").is_string());
    EXPECT_EQ(conversation.version, expected.at("version").get<std::string>());
    EXPECT_EQ(conversation.examples.size(), expected.at("offset").get<size_t>());
  }
}

// Prompts published with the later models of the family.
TEST(Conversation, FamilyTemplates) {
  const Json file = read_json_file(test_data() / "text/family_conversations.json");
  for (const Json& item : file.at("cases")) {
    const ConversationTemplate& conversation =
        find_conversation_template(item.at("template").get<std::string>());
    std::vector<Message> messages;
    for (const Json& turn : item.at("messages")) {
      Message message{.role = conversation.roles[messages.size() % 2]};
      if (turn.is_string()) message.text = turn.get<std::string>();
      messages.push_back(std::move(message));
    }
    EXPECT_EQ(render_conversation(conversation, messages), item.at("prompt").get<std::string>());
  }
}

TEST(Conversation, SeveralPictureObjects) {
  const ConversationTemplate& qwen = find_conversation_template("qwen_1_5");
  const std::string head = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n";
  EXPECT_EQ(render_conversation(qwen, std::vector<Message>{{qwen.roles[0], "Compare.", 2}}),
            head + "<|im_start|>user\n<image><image>Compare.<|im_end|>\n");
  EXPECT_EQ(render_conversation(qwen, std::vector<Message>{{qwen.roles[0], "What?", 1}}),
            head + "<|im_start|>user\n<image>\nWhat?<|im_end|>\n");
}

TEST(Conversation, RolesMustFitTheStyle) {
  const ConversationTemplate& llama = find_conversation_template("llava_llama_2");
  const ConversationTemplate& gemma = find_conversation_template("gemma_instruct");
  try {
    render_conversation(llama, std::vector<Message>{{"ASSISTANT", "Hi"}});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("first message should come from user"));
  }
  try {
    render_conversation(gemma, std::vector<Message>{{gemma.roles[1], "Hi"}});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("Conversation should alternate"));
  }
}

TEST(Conversation, UnknownNameListsTheNearest) {
  try {
    find_conversation_template("lava_v1");
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'llava_v1'?"));
    EXPECT_THAT(error.what(), HasSubstr("chatml_direct"));
  }
}

TEST(Conversation, StopStrings) {
  const auto stop = [](const char* name) { return stop_string(find_conversation_template(name)); };
  EXPECT_EQ(stop("llava_v0"), "###");
  EXPECT_EQ(stop("llava_v1"), "</s>");
  EXPECT_EQ(stop("mistral_instruct"), "</s>");
  EXPECT_EQ(stop("chatml_direct"), "<|im_end|>");
  EXPECT_EQ(stop("qwen_2"), "<|im_end|>");
  EXPECT_EQ(stop("llava_llama_3"), "<|eot_id|>");
  EXPECT_EQ(stop("gemma_instruct"), "<end_of_turn>");
}

TEST(Conversation, CommonRoleNames) {
  const ConversationTemplate& vicuna = find_conversation_template("vicuna_v1");
  EXPECT_EQ(resolve_role(vicuna, "user"), "USER");
  EXPECT_EQ(resolve_role(vicuna, "Human"), "USER");
  EXPECT_EQ(resolve_role(vicuna, "gpt"), "ASSISTANT");
  EXPECT_EQ(resolve_role(vicuna, "ASSISTANT"), "ASSISTANT");
  EXPECT_EQ(resolve_role(vicuna, "system"), "system");
}

}  // namespace
}  // namespace llava::text
