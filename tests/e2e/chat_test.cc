// SPDX-License-Identifier: Apache-2.0
//
// `llava chat`: sessions of the original's terminal chat, its commands, Ctrl-C, a real terminal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "program.h"
#include "support/paths.h"
#include "support/temporary_folder.h"

namespace llava::testing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> chat_arguments(const std::string& model, const std::string& image) {
  std::vector<std::string> arguments{
      "chat",    "--model-path",     model, "--debug", "--temperature", "0", "--dtype",
      "float32", "--max-new-tokens", "8",   "--lora",  "merged"};
  if (!image.empty())
    arguments = std::move(arguments) + std::vector<std::string>{"--image-file", image};
  return arguments;
}

void append_utf8(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | (code >> 6));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | (code >> 12));
    text += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | (code >> 18));
    text += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    text += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// Reads a Python string literal that begins at `at`, and moves behind it.
std::string python_string(const std::string& text, std::size_t& at) {
  const char quote = text.at(at++);
  std::string result;
  while (text.at(at) != quote) {
    if (text[at] != '\\') {
      result += text[at++];
      continue;
    }
    const char kind = text.at(at + 1);
    at += 2;
    const std::size_t digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    if (digits > 0) {
      append_utf8(result, static_cast<uint32_t>(std::stoul(text.substr(at, digits), nullptr, 16)));
      at += digits;
    } else {
      result += kind == 'n' ? '\n' : kind == 't' ? '\t' : kind == 'r' ? '\r' : kind;
    }
  }
  ++at;
  return result;
}

struct Round {
  std::string screen;
  std::string prompt;
  std::string outputs;
};

// Rounds of a session with --debug.
std::vector<Round> rounds_in(const std::string& out) {
  const std::string debug = "\n\n {'prompt': ";
  const std::string outputs = ", 'outputs': ";
  std::vector<Round> rounds;
  std::size_t begin = 0;
  for (std::size_t end = out.find(debug); end != std::string::npos; end = out.find(debug, begin)) {
    Round round;
    std::size_t screen = out.find(": ", begin) + 2;  // behind "USER: "
    screen = out.find(": ", screen) + 2;             // behind "ASSISTANT: "
    round.screen = out.substr(screen, end - screen);
    std::size_t at = end + debug.size();
    round.prompt = python_string(out, at);
    EXPECT_EQ(out.substr(at, outputs.size()), outputs);
    at += outputs.size();
    round.outputs = python_string(out, at);
    EXPECT_EQ(out.substr(at, 4), "} \n\n");
    begin = at;
    rounds.push_back(round);
  }
  return rounds;
}

void expect_published_session(const std::string& name, const Json& session,
                              const std::filesystem::path& models,
                              const std::filesystem::path& images) {
  SCOPED_TRACE(name);
  std::vector<std::string> arguments = chat_arguments(
      (models / name).string(), (images / session.at("image").get<std::string>()).string());
  arguments.emplace_back("--compat-history");
  if (session.contains("model_base") && session["model_base"].is_string()) {
    arguments.emplace_back("--model-base");
    arguments.push_back((models / session["model_base"].get<std::string>()).string());
  }
  arguments.emplace_back("--conv-mode");
  arguments.push_back(session.at("conv_mode").get<std::string>());
  std::string input;
  for (const Json& line : session.at("lines")) input += line.get<std::string>() + "\n";
  const ProcessResult result = run_llava(arguments, input);
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, EndsWith(": exit...\n"));
  const std::vector<Round> rounds = rounds_in(result.out);
  const Json& expected = session.at("rounds");
  ASSERT_EQ(rounds.size(), expected.size()) << result.out;
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(rounds[i].prompt, expected[i].at("prompt").get<std::string>());
    EXPECT_EQ(rounds[i].outputs, expected[i].at("stored_text").get<std::string>());
    EXPECT_EQ(rounds[i].screen, expected[i].at("screen_text").get<std::string>());
  }
}

TEST(Chat, SessionsAreThoseOfTheOriginal) {
  const std::filesystem::path golden = source_folder() / "tests/golden";
  const Json sessions = read_json_file(golden / "cli_rounds.json");
  ASSERT_FALSE(sessions.empty());
  for (const auto& [name, session] : sessions.items()) {
    expect_published_session(name, session, golden / "models", golden / "images");
  }
}

TEST(Chat, SessionsAreThoseOfTheOriginalBesideTheCheckout) {
  const std::filesystem::path folder = shared_golden("orig");
  if (folder.empty()) GTEST_SKIP() << "no ../shared/golden/orig beside the checkout";
  const Json sessions = read_json_file(folder / "bundles/cli_rounds.json");
  int num_checked = 0;
  for (const auto& [name, session] : sessions.items()) {
    if (!std::filesystem::exists(folder / name / "config.json")) continue;
    expect_published_session(name, session, folder, folder / "images");
    ++num_checked;
  }
  EXPECT_GT(num_checked, 0);
}

TEST(Chat, HistoryHasNoBeginTokensByDefault) {
  const ProcessResult result =
      run_llava(chat_arguments(golden_model("llava-v1.5-pad"), golden_image("square_28x28.png")),
                "What is this?\nWhere is it?\n");
  EXPECT_EQ(result.status, 0);
  const std::vector<Round> rounds = rounds_in(result.out);
  ASSERT_EQ(rounds.size(), 2u) << result.out;
  EXPECT_THAT(rounds[0].outputs, Not(HasSubstr("<s>")));
  EXPECT_THAT(rounds[1].prompt, HasSubstr(rounds[0].outputs));
  EXPECT_THAT(rounds[1].prompt, Not(HasSubstr("<s>")));
}

TEST(Chat, CommandsChangeThePictureAndStartOver) {
  const std::string input = "First?\n/reset\nSecond?\n/image " + golden_image("wide_150x13.png") +
                            "\nThird?\n/help\n/exit\n";
  const ProcessResult result = run_llava(
      chat_arguments(golden_model("llava-v1.5-pad"), golden_image("square_28x28.png")), input);
  EXPECT_EQ(result.status, 0) << result.err;
  const std::vector<Round> rounds = rounds_in(result.out);
  ASSERT_EQ(rounds.size(), 3u) << result.out;
  for (const Round& round : rounds) {
    EXPECT_EQ(round.prompt.find("<image>"), round.prompt.rfind("<image>"));
    EXPECT_THAT(round.prompt, HasSubstr("<image>"));
  }
  EXPECT_THAT(rounds[1].prompt, Not(HasSubstr("First?")));
  EXPECT_THAT(rounds[2].prompt, Not(HasSubstr("Second?")));
  EXPECT_THAT(result.out, HasSubstr("/image PATH"));
  EXPECT_THAT(result.out, EndsWith(": exit...\n"));
}

TEST(Chat, ABadPictureOrQuestionCostsOneLine) {
  const std::string input = "/image\n/image missing.png\n<image> and <image>?\nStill there?\n\n";
  const ProcessResult result = run_llava(
      chat_arguments(golden_model("llava-v1.5-pad"), golden_image("square_28x28.png")), input);
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.err, HasSubstr("/image needs"));
  EXPECT_THAT(result.err, HasSubstr("missing.png"));
  EXPECT_THAT(result.err, HasSubstr("placeholders"));
  ASSERT_EQ(rounds_in(result.out).size(), 1u) << result.out;
  EXPECT_THAT(result.out, EndsWith(": exit...\n"));
}

TEST(Chat, EndOfInputAndAnEmptyLineLeave) {
  for (const char* input : {"", "\n", "/exit\n"}) {
    const ProcessResult result = run_llava(chat_arguments(golden_model("hf-llava"), ""), input);
    EXPECT_EQ(result.status, 0);
    EXPECT_THAT(result.out, EndsWith(": exit...\n"));
  }
}

// A search among 256 beams would run for minutes, so that the signal certainly meets it.
TEST(Chat, InterruptStopsTheAnswerOnly) {
  Process process(
      program_request({"chat", "--model-path", golden_model("llava-v1.5-pad"), "--num-beams", "256",
                       "--max-new-tokens", "900", "--temperature", "0"}));
  ASSERT_TRUE(process.wait_for_output("USER: "));
  process.write("What is this?\n");
  ASSERT_TRUE(process.wait_for_output("ASSISTANT: "));
  process.send_signal(SIGINT);
  ASSERT_TRUE(process.wait_for_output("USER: "));
  process.write("/exit\n");
  const ProcessResult result = process.finish();
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, EndsWith("exit...\n"));
}

TEST(Chat, InterruptAtThePromptEndsTheProgram) {
  Process process(program_request({"chat", "--model-path", golden_model("hf-llava")}));
  ASSERT_TRUE(process.wait_for_output(": "));
  process.send_signal(SIGINT);
  EXPECT_EQ(process.finish().status, 130);
}

using ChatTerminal = TemporaryFolder;

TEST_F(ChatTerminal, LinesAreEditedAndRemembered) {
  if (!std::filesystem::exists("/dev/pts/ptmx")) {
    GTEST_SKIP() << "no terminal can be made: /dev/pts is not mounted";
  }
  ProcessRequest request = program_request(
      chat_arguments(golden_model("llava-v1.5-pad"), golden_image("square_28x28.png")));
  request.has_terminal = true;
  request.environment["XDG_STATE_HOME"] = folder_.string();
  request.environment["TERM"] = "xterm";
  {
    Process process(request);
    ASSERT_TRUE(process.wait_for_output("USER: "));
    process.write("What is thiz\x7fs?\r");
    ASSERT_TRUE(process.wait_for_output("What is this? ASSISTANT:\", 'outputs'"));
    ASSERT_TRUE(process.wait_for_output("USER: "));
    process.write("/exit\r");
    ASSERT_TRUE(process.wait_for_output("exit..."));
    EXPECT_EQ(process.finish().status, 0);
  }
  EXPECT_TRUE(std::filesystem::exists(folder_ / "llava/chat_history"));
  Process process(request);
  ASSERT_TRUE(process.wait_for_output("USER: "));
  process.write("\x10\x10\r");  // two lines back: the question of the session before
  ASSERT_TRUE(process.wait_for_output("What is this? ASSISTANT:\", 'outputs'"));
  ASSERT_TRUE(process.wait_for_output("USER: "));
  process.write("\r");  // an empty line
  ASSERT_TRUE(process.wait_for_output("exit..."));
  EXPECT_EQ(process.finish().status, 0);
}

}  // namespace
}  // namespace llava::testing
