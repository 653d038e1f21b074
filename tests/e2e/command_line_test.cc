// SPDX-License-Identifier: Apache-2.0
//
// Commands, flags, help texts and exit statuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>

#include "program.h"
#include "support/paths.h"

namespace llava::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::vector<std::string> kCommands{"run",
                                         "chat",
                                         "batch",
                                         "serve",
                                         "worker",
                                         "controller",
                                         "register-worker",
                                         "api",
                                         "gradio-web-server",
                                         "sglang-worker",
                                         "test-message",
                                         "quantize",
                                         "merge-lora",
                                         "extract-lora",
                                         "extract-projector",
                                         "consolidate",
                                         "make-delta",
                                         "apply-delta",
                                         "inspect",
                                         "parity",
                                         "divergence",
                                         "tokenize",
                                         "train",
                                         "image",
                                         "bench",
                                         "info",
                                         "pull",
                                         "list",
                                         "rm",
                                         "data"};

// Tasks of commands that have several, with a section of their own in docs/cli.md.
const std::vector<std::string> kTasks{"data check", "data scienceqa", "train report"};

std::string help_of(const std::string& command) {
  std::vector<std::string> arguments;
  std::istringstream words(command);
  for (std::string word; words >> word;) arguments.push_back(word);
  arguments.emplace_back("--help");
  const ProcessResult result = run_llava(arguments);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "");
  return result.out;
}

std::set<std::string> flags_in(const std::string& text, const std::regex& pattern) {
  std::set<std::string> result;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
    result.insert((*it)[1].str());
  }
  return result;
}

// The part of docs/cli.md under "## llava NAME".
std::string documentation_of(const std::string& command) {
  const std::string text = read_text(source_folder() / "docs/cli.md");
  const std::string heading = "\n## llava " + command + "\n";
  const std::size_t begin = text.find(heading);
  EXPECT_NE(begin, std::string::npos) << "docs/cli.md does not have" << heading;
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find("\n## ", begin + heading.size()) - begin);
}

TEST(CommandLine, VersionIsOneLine) {
  const ProcessResult result = run_llava({"--version"});
  EXPECT_EQ(result.status, 0);
  EXPECT_TRUE(std::regex_match(result.out, std::regex("llava [0-9]+\\.[0-9]+\\.[0-9]+\n")))
      << result.out;
  EXPECT_EQ(result.err, "");
}

TEST(CommandLine, HelpListsEveryCommand) {
  const ProcessResult result = run_llava({"--help"});
  EXPECT_EQ(result.status, 0);
  for (const std::string& command : kCommands) {
    EXPECT_THAT(result.out, HasSubstr("\n  " + command + " "));
  }
}

TEST(CommandLine, NoCommandPrintsTheHelpAsAnError) {
  const ProcessResult result = run_llava({});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("Usage: llava COMMAND"));
}

TEST(CommandLine, EveryFlagOfTheHelpIsDocumentedAndTheOtherWayRound) {
  for (const std::string& command : kCommands + kTasks) {
    SCOPED_TRACE(command);
    const std::string help = help_of(command);
    EXPECT_THAT(help, HasSubstr("Examples:\n  "));
    EXPECT_THAT(help, HasSubstr("llava " + command));
    auto helped = flags_in(help, std::regex("\n  (--[a-z0-9-]+)"));
    EXPECT_EQ(helped.erase("--help"), 1u);
    EXPECT_EQ(helped, flags_in(documentation_of(command), std::regex("\n\\| `(--[a-z0-9-]+)")));
  }
}

TEST(CommandLine, DefaultsInTheDocumentationAreThoseOfTheHelp) {
  for (const std::string& command : kCommands + kTasks) {
    SCOPED_TRACE(command);
    const std::string help = help_of(command);
    const std::string document = documentation_of(command);
    const std::regex line("\n  (--[a-z0-9-]+)[^\n]*\\[([^\\]\n]+)\\]");
    for (std::sregex_iterator it(help.begin(), help.end(), line), end; it != end; ++it) {
      EXPECT_THAT(document, HasSubstr("| `" + (*it)[1].str() + "` | `" + (*it)[2].str() + "` |"));
    }
  }
}

TEST(CommandLine, UnknownCommandNamesTheNearest) {
  const ProcessResult result = run_llava({"inspct"});
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("unknown command 'inspct', did you mean 'inspect'?"));
}

TEST(CommandLine, UnknownFlagNamesTheNearest) {
  const ProcessResult result = run_llava({"run", "--query", "x", "--temprature", "0"});
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("unknown flag --temprature, did you mean --temperature?"));
}

TEST(CommandLine, FlagsTakeUnderscoresAndUnambiguousPrefixes) {
  const Json whole = json_of(run_llava(ask_golden("llava-v1.5-pad", "", "Hi")));
  const Json shortened =
      json_of(run_llava({"run", "--model_path", golden_model("llava-v1.5-pad"), "--que=Hi",
                         "--temp", "0", "--dt=float32", "--max_new", "8", "--json"}));
  EXPECT_EQ(whole["generated_ids"], shortened["generated_ids"]);
  EXPECT_EQ(whole["prompt_ids"], shortened["prompt_ids"]);
}

TEST(CommandLine, AnAmbiguousPrefixNamesTheCandidates) {
  const ProcessResult result = run_llava({"run", "--model", "x", "--query", "x"});
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("flag --model is ambiguous"));
  EXPECT_THAT(result.err, HasSubstr("--model-path"));
  EXPECT_THAT(result.err, HasSubstr("--model-base"));
}

TEST(CommandLine, BadValuesAreNamed) {
  struct Case {
    std::vector<std::string> arguments;
    std::string message;
  };
  const std::vector<Case> cases{
      {{"--query"}, "--query"},
      {{}, "--query is required"},
      {{"--query", "x", "--temperature", "warm"}, "--temperature"},
      {{"--query", "x", "--temperature=-1"}, "--temperature is -1, expected at least 0"},
      {{"--query", "x", "--temperature", "nan"}, "--temperature"},
      {{"--query", "x", "--top-p", "1.5"}, "--top-p is 1.5, expected"},
      {{"--query", "x", "--num-beams", "0"}, "--num-beams is 0, expected"},
      {{"--query", "x", "--max-new-tokens", "0"}, "--max-new-tokens is 0, expected"},
      {{"--query", "x", "--max-new-tokens", "99999999999"}, "--max-new-tokens"},
      {{"--query", "x", "--dtype", "int8"}, "--dtype is int8, expected"},
      {{"--query", "x", "--backend", "other"}, "--backend is other, expected"},
      {{"--query", "x", "--device", "tpu"}, "tpu"},
      {{"--query", "x", "--threads", "-2"}, "--threads is -2, expected"},
      {{"--query", "x", "--rgba-background", "pink"}, "--rgba-background is pink, expected"},
      {{"--query", "x", "--image-aspect-ratio", "round"}, "round"},
      {{"--query", "x", "stray"}, "stray"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(::testing::PrintToString(c.arguments));
    const ProcessResult result = run_llava(
        std::vector<std::string>{"run", "--model-path", golden_model("hf-llava"), "--json"} +
        c.arguments);
    EXPECT_THAT(error_of(result, 2, "invalid_argument"), HasSubstr(c.message));
  }
}

TEST(CommandLine, AnUnavailableDeviceSaysWhatToDo) {
  const ProcessResult result = run_llava({"run", "--model-path", golden_model("hf-llava"),
                                          "--query", "x", "--device", "mps", "--json"});
  EXPECT_THAT(error_of(result, 4, "unavailable"), HasSubstr("mps"));
}

TEST(CommandLine, InfoHasItsKeys) {
  const Json info = json_of(run_llava({"info", "--json"}));
  for (const char* key : {"version", "revision", "compiler", "backends", "threads"}) {
    EXPECT_TRUE(info.contains(key)) << key;
  }
  EXPECT_THAT(info["backends"].get<std::vector<std::string>>(), ::testing::Contains("native"));
  EXPECT_TRUE(info["kernels"]["available"].is_array());
  EXPECT_TRUE(info["kernels"]["chosen"].is_string());
  EXPECT_TRUE(info["cpu"].is_object());
  EXPECT_TRUE(info["libtorch"].is_null() || info["libtorch"].is_string());
  EXPECT_EQ(info["threads"], 2);
  const ProcessResult text = run_llava({"info"});
  EXPECT_EQ(text.status, 0);
  EXPECT_THAT(text.out, StartsWith("version "));
}

TEST(CommandLine, TheProgramItselfStartsWithoutLibTorch) {
  ProcessRequest request = program_request({"--version"});
  request.environment["LD_TRACE_LOADED_OBJECTS"] = "1";
  const ProcessResult libraries = run_process(request);
  EXPECT_THAT(libraries.out, HasSubstr("libcurl"));
  EXPECT_THAT(libraries.out, Not(HasSubstr("libtorch")));
}

TEST(CommandLine, TheProgramWithLibTorchTakesOver) {
  const Json info = json_of(run_llava({"info", "--json"}));
  if (info["libtorch"].is_null()) GTEST_SKIP() << "this build has no LibTorch";
  const Json answer =
      json_of(run_llava(ask_golden("hf-llava", golden_image("square_28x28.png"), "What is it?") +
                        std::vector<std::string>{"--backend", "torch"}));
  EXPECT_EQ(answer["backend"], "torch");

  // A program whose companion is not there says so.
  const std::string alone = ::testing::TempDir() + "llava-alone";
  std::filesystem::copy_file(LLAVA_PROGRAM, alone,
                             std::filesystem::copy_options::overwrite_existing);
  ProcessRequest request = program_request({"info", "--json"});
  request.arguments.front() = alone;
  EXPECT_THAT(error_of(run_process(request), 4, "unavailable"), HasSubstr("llava-torch"));
}

TEST(CommandLine, EnvironmentVariablesAreChecked) {
  ProcessRequest request = program_request({"info", "--json"});
  request.environment["LLAVA_KERNELS"] = "scalar";
  EXPECT_EQ(json_of(run_process(request))["kernels"]["chosen"], "scalar");
  request.environment["LLAVA_KERNELS"] = "avx3";
  const ProcessResult kernels = run_process(request);
  EXPECT_THAT(error_of(kernels, 2, "invalid_argument"), HasSubstr("avx3"));
  request.environment["LLAVA_KERNELS"] = "";
  request.environment["LLAVA_THREADS"] = "many";
  EXPECT_THAT(error_of(run_process(request), 2, "invalid_argument"), HasSubstr("many"));
  request.environment["LLAVA_THREADS"] = "1";
  request.environment["LLAVA_LOG"] = "shouting";
  EXPECT_THAT(error_of(run_process(request), 2, "invalid_argument"), HasSubstr("shouting"));
}

}  // namespace
}  // namespace llava::testing
