// SPDX-License-Identifier: Apache-2.0
//
// `llava chat`: sessions of the original's terminal chat, its commands, Ctrl-C, a real terminal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "program.h"
#include "server_process.h"
#include "support/paths.h"
#include "support/temporary_folder.h"

namespace llava::testing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using Strings = std::vector<std::string>;

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

TEST(Chat, SettingsAreThoseOfTheFlags) {
  const std::string input =
      "/params max_new_tokens=3 top-k=5\n/params\nWhat is this?\n/params temprature=1\n/params 5\n"
      "/params temperature=-1\n";
  const ProcessResult result = run_llava(
      chat_arguments(golden_model("llava-v1.5-pad"), golden_image("square_28x28.png")), input);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\nmax-new-tokens 3\n"));
  EXPECT_THAT(result.out, HasSubstr("\ntop-k 5\n"));
  EXPECT_THAT(result.err, HasSubstr("did you mean --temperature?"));
  EXPECT_THAT(result.err, HasSubstr("found '5'"));
  EXPECT_THAT(result.err, HasSubstr("--temperature is -1"));
  EXPECT_EQ(rounds_in(result.out).size(), 1u) << result.out;
}

TEST(Chat, APromptGetsItsAnswerAlone) {
  const Strings two_pictures{"--image-file", golden_image("wide_150x13.png"), "--prompt",
                             "What are these?"};
  const ProcessResult result =
      run_llava(chat_arguments(golden_model("llava-v1.5-pad"), golden_image("square_28x28.png")) +
                two_pictures);
  EXPECT_EQ(result.status, 0) << result.err;
  const ProcessResult interactive =
      run_llava(chat_arguments(golden_model("llava-v1.5-pad"), golden_image("square_28x28.png")) +
                    Strings{"--image-file", golden_image("wide_150x13.png")},
                "What are these?\n");
  const std::vector<Round> rounds = rounds_in(interactive.out);
  ASSERT_EQ(rounds.size(), 1u) << interactive.out;
  EXPECT_THAT(rounds[0].prompt, HasSubstr("<image>\n<image>\n"));
  EXPECT_EQ(result.out, rounds[0].screen + "\n");
}

class ChatWithAServer : public TemporaryFolder {
 protected:
  ChatWithAServer()
      : server_({"serve", "--no-web", "--port", "0", "--drain-delay", "0", "--dtype", "float32",
                 "--model-path", golden_model("llava-v1.5-pad"), "--api-key", "secret"}) {}

  Strings flags(const std::string& address) const {
    return {"chat",
            "--server",
            address,
            "--image-file",
            golden_image("square_28x28.png"),
            "--temperature",
            "0",
            "--max-new-tokens",
            "8",
            "--api-key",
            "secret"};
  }

  ServerProcess server_;
};

TEST_F(ChatWithAServer, AnswersAsAModelHere) {
  const std::string file = (folder_ / "chat.json").string();
  const std::string input =
      "What is this?\nWhere is it?\n/save " + file + "\n/save " + file + "\n/clear\nAnd this?\n";
  ProcessResult local = run_llava(
      {"chat", "--model-path", golden_model("llava-v1.5-pad"), "--dtype", "float32", "--image-file",
       golden_image("square_28x28.png"), "--temperature", "0", "--max-new-tokens", "8"},
      input);
  EXPECT_EQ(local.status, 0) << local.err;
  const Json saved = read_json_file(file);
  std::filesystem::remove(file);
  for (const std::string& address : {server_.address(), server_.address() + "/v1/"}) {
    const ProcessResult remote = run_llava(flags(address), input);
    EXPECT_EQ(remote.status, 0) << remote.err;
    EXPECT_EQ(remote.out, local.out);
    EXPECT_THAT(remote.err, HasSubstr("is there already"));
    EXPECT_EQ(read_json_file(file), saved);
    std::filesystem::remove(file);
  }
  const Json& turns = saved.at(0).at("conversations");
  EXPECT_EQ(saved.at(0).at("image"), golden_image("square_28x28.png"));
  ASSERT_EQ(turns.size(), 4u);
  EXPECT_EQ(turns.at(0), (Json{{"from", "human"}, {"value", "<image>\nWhat is this?"}}));
  EXPECT_EQ(turns.at(2).at("value"), "Where is it?");
  EXPECT_EQ(turns.at(3).at("from"), "gpt");
}

TEST_F(ChatWithAServer, SaysWhatTheServerSays) {
  Strings wrong_key = flags(server_.address());
  wrong_key.back() = "wrong";
  const ProcessResult refused = run_llava(wrong_key + Strings{"--prompt", "What is this?"});
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("401"));
  const ProcessResult unknown = run_llava(
      flags(server_.address()) + Strings{"--model-path", "another", "--prompt", "What is this?"});
  EXPECT_EQ(unknown.status, 2) << unknown.err;
  EXPECT_THAT(unknown.err, HasSubstr("status 404"));
  const ProcessResult beams = run_llava(flags(server_.address()), "/params num_beams=4\n");
  EXPECT_EQ(beams.status, 0);
  EXPECT_THAT(beams.err, HasSubstr("--num-beams is about a model in this program"));
  const ProcessResult nobody =
      run_llava(flags("http://127.0.0.1:1") + Strings{"--prompt", "What is this?"});
  EXPECT_NE(nobody.status, 0);
  EXPECT_THAT(nobody.err, HasSubstr("http://127.0.0.1:1/v1/models"));
  const ProcessResult both = run_llava(flags(server_.address()) + Strings{"--threads", "2"});
  EXPECT_EQ(both.status, 2);
  EXPECT_THAT(both.err, HasSubstr("--threads is about a model in this program"));
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
