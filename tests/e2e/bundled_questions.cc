// SPDX-License-Identifier: Apache-2.0
#include "bundled_questions.h"

#include <cstdlib>

#include "program.h"
#include "support/paths.h"

namespace llava::testing {
namespace {

namespace fs = std::filesystem;

// The recorded questions with their pictures, of the checkout or beside it.
fs::path check_folder() {
  const std::string name = "models/tiny-llava-smollm2/check";
  const fs::path root = source_folder();
  for (const auto& folder : {root / name, root / "../shared" / name}) {
    if (fs::exists(folder / "questions.json")) return folder;
  }
  return {};
}

bool has_language_model() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  fs::path folder;
  if (cache != nullptr && *cache != '\0') {
    folder = cache;
  } else if (home != nullptr) {
    folder = fs::path(home) / ".cache";
  }
  return fs::exists(folder / "llava/models/SmolLM2-135M-Instruct.Q4_1.gguf");
}

}  // namespace

void BundledQuestions::SetUp() {
  folder_ = check_folder();
  if (folder_.empty()) GTEST_SKIP() << "no questions.json of the bundled model";
  if (!has_language_model()) {
    GTEST_SKIP() << "the bundled model's language model is not in the cache (scripts/setup)";
  }
  questions_ = read_json_file(folder_ / "questions.json").at("questions");
  ASSERT_EQ(questions_.size(), 50u);
}

std::string BundledQuestions::picture(const Json& question) const {
  return (folder_ / question.at("image").get<std::string>()).string();
}

std::vector<std::string> BundledQuestions::arguments(const Json& question) const {
  return {"run",
          "--image-file",
          picture(question),
          "--query",
          question.at("question").get<std::string>(),
          "--temperature",
          "0",
          "--max-new-tokens",
          "32",
          "--json"};
}

void BundledQuestions::expect_program_answers(const Json& question) const {
  SCOPED_TRACE(question.at("question").get<std::string>());
  const Json answer =
      json_of(run_llava(arguments(question) + std::vector<std::string>{"--dtype", "float32"}));
  ASSERT_TRUE(answer.is_object());
  EXPECT_EQ(answer.at("prompt_ids"), question.at("prompt_ids"));
  EXPECT_EQ(answer.at("generated_ids"), question.at("generated_ids"));
  EXPECT_EQ(answer.at("text"), question.at("text"));
}

}  // namespace llava::testing
