// SPDX-License-Identifier: Apache-2.0
//
// Prompt ids, stored answers and streamed text against what the original package computed. The
// golden folder is an extra: it is not part of the repository.
#include <gtest/gtest.h>

#include <filesystem>

#include "llava/core/json.h"
#include "llava/text/conversation.h"
#include "llava/text/history.h"
#include "llava/text/load_tokenizer.h"
#include "llava/text/prompt.h"
#include "llava/text/text_streamer.h"
#include "support/paths.h"

namespace llava::text {
namespace {

const std::filesystem::path kGolden = source_folder() / "../shared/golden/orig";

std::unique_ptr<Tokenizer> open(const std::string& folder, TokenizerForm form) {
  return load_tokenizer(kGolden / folder, form);
}

TEST(PromptGolden, TemplateIds) {
  const std::filesystem::path path = kGolden / "templates.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const auto plain = open("tokenizers/legacy_false", TokenizerForm::kSlow);
  const auto legacy = open("tokenizers/legacy_true", TokenizerForm::kSlow);
  const Json file = read_json_file(path);
  for (const Json& item : file.at("cases")) {
    if (!item.contains("prompt")) continue;
    const auto prompt = item.at("prompt").get<std::string>();
    SCOPED_TRACE(prompt);
    if (item.contains("ids_legacy_false")) {
      EXPECT_EQ(tokenize_with_images(*plain, prompt),
                item.at("ids_legacy_false").get<std::vector<int32_t>>());
    }
    if (item.contains("ids_legacy_true")) {
      EXPECT_EQ(tokenize_with_images(*legacy, prompt),
                item.at("ids_legacy_true").get<std::vector<int32_t>>());
    }
  }
}

void expect_session(const Json& session, const Tokenizer& tokenizer) {
  const ConversationTemplate& conversation =
      find_conversation_template(session.at("conv_mode").get<std::string>());
  std::vector<Message> messages;
  for (size_t i = 0; i < session.at("rounds").size(); ++i) {
    SCOPED_TRACE(i);
    const Json& round = session.at("rounds")[i];
    const auto line = session.at("lines")[i].get<std::string>();
    messages.push_back({conversation.roles[0], i == 0 ? "<image>\n" + line : line});
    messages.push_back({conversation.roles[1], std::nullopt});
    const std::string prompt = render_conversation(conversation, messages);
    EXPECT_EQ(prompt, round.at("prompt").get<std::string>());
    EXPECT_EQ(tokenize_with_images(tokenizer, prompt),
              round.at("input_ids").get<std::vector<int32_t>>());
    auto new_ids = round.at("returned_ids").get<std::vector<int32_t>>();
    ASSERT_FALSE(new_ids.empty());
    new_ids.erase(new_ids.begin());
    TextStreamer streamer(tokenizer);
    std::string screen;
    for (const int32_t id : new_ids) screen += streamer.push(id);
    EXPECT_EQ(screen + streamer.finish(), round.at("screen_text").get<std::string>());
    messages.back().text = stored_answer(tokenizer, new_ids, HistoryMode::kOriginal);
    EXPECT_EQ(*messages.back().text, round.at("stored_text").get<std::string>());
  }
  EXPECT_EQ(render_conversation(conversation, messages),
            session.at("next_prompt").get<std::string>());
}

TEST(PromptGolden, TerminalSessions) {
  const std::filesystem::path path = kGolden / "bundles" / "cli_rounds.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const Json sessions = read_json_file(path);
  struct Case {
    const char* session;
    const char* tokenizer;
    TokenizerForm form;
  };
  for (const Case& item : std::vector<Case>{
           {"o1_llava-v1.5-tiny", "o1_llava-v1.5-tiny", TokenizerForm::kSlow},
           {"o2_llava-v1.6-tiny", "o2_llava-v1.6-tiny", TokenizerForm::kSlow},
           {"o3_llava-v1.6-mistral-tiny", "tokenizers/legacy_absent", TokenizerForm::kFast},
           {"o5_llava-v1.5-tiny-lora", "base_llama-tiny", TokenizerForm::kSlow},
           {"o6_llava-v1.5-tiny-pretrain", "base_llama-tiny", TokenizerForm::kSlow}}) {
    SCOPED_TRACE(item.session);
    expect_session(sessions.at(item.session), *open(item.tokenizer, item.form));
  }
}

}  // namespace
}  // namespace llava::text
