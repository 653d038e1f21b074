// SPDX-License-Identifier: Apache-2.0
//
// `llava quantize`: the folder it writes answers as the checkpoint did, in every layout, and what
// it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "bundled_questions.h"
#include "checkpoint_copy.h"
#include "program.h"

namespace llava::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

using Strings = std::vector<std::string>;

class Quantize : public CheckpointCopy {
 protected:
  std::string output() const { return (folder_ / "out").string(); }

  Strings quantize(const std::string& model, const Strings& flags = {}) const {
    return Strings{"quantize", "--model-path", golden_model(model),
                   "--output", output(),       "--json"} +
           flags;
  }

  static Json answer(const std::string& model, const Strings& flags) {
    return json_of(run_llava(Strings{"run", "--model-path", model, "--image-file",
                                     golden_image("square_28x28.png"), "--query", "What is this?",
                                     "--temperature", "0", "--max-new-tokens", "8", "--json"} +
                             flags));
  }

  // Nothing is left beside the output.
  void expect_no_remains() const {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      EXPECT_THAT(entry.path().filename().string(), ::testing::Not(HasSubstr(".tmp-")));
      EXPECT_THAT(entry.path().filename().string(), ::testing::Not(HasSubstr(".old-")));
    }
  }
};

struct Case {
  const char* model;
  const char* base;
};

constexpr Case kCases[] = {{"hf-llava", ""},
                           {"hf-next-mistral", ""},
                           {"hf-qwen2-tied", ""},
                           {"llava-v1.5-pad", ""},
                           {"llava-v1.6-mistral", ""},
                           {"llava-v1.6-tower-inside", ""},
                           {"llava-v1.5-lora-head", "base-vicuna"},
                           {"llava-v1.5-lora-gguf", "base-gguf.gguf"},
                           {"llava-projector-startend", "base-vicuna"},
                           {"llava-projector-gguf-k", "base-gguf-k.gguf"}};

// In float32 nothing is lost, so what differs would be a file that is missing or read otherwise.
TEST_F(Quantize, AFolderOfFloatsAnswersAsTheCheckpointDid) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.model);
    Strings base;
    if (*c.base != '\0') base = {"--model-base", golden_model(c.base)};
    const Json before = answer(
        golden_model(c.model),
        base + Strings{"--dtype", "float32", "--vision-dtype", "float32", "--lora", "merged"});
    json_of(run_llava(quantize(c.model, base + Strings{"--lm", "f32", "--vision", "f32",
                                                       "--embeddings", "f32", "--force"})));
    // Moved to where no other file of the checkpoint is near.
    const std::string moved = (folder_ / "elsewhere" / "unnamed").string();
    fs::remove_all(moved);
    fs::create_directories(folder_ / "elsewhere");
    fs::rename(output(), moved);
    const Json after = answer(moved, {});
    EXPECT_EQ(after.at("prompt_ids"), before.at("prompt_ids"));
    EXPECT_EQ(after.at("generated_ids"), before.at("generated_ids"));
    EXPECT_EQ(after.at("text"), before.at("text"));
  }
  expect_no_remains();
}

TEST_F(Quantize, ReportsWhatWasLost) {
  const Json report =
      json_of(run_llava(quantize("llava-v1.5-pad", {"--vision", "q8", "--verify"})));
  EXPECT_THAT(report.at("problems"), IsEmpty());
  EXPECT_EQ(report.at("bytes").get<uint64_t>(), fs::file_size(fs::path(output()) / "model.llava"));
  std::map<std::string, double> errors;
  for (const Json& part : report.at("parts")) {
    errors[part.at("part").get<std::string>() + " " + part.at("form").get<std::string>()] =
        part.at("relative_rms").get<double>();
  }
  EXPECT_GT(errors.at("language q4"), 0.04);
  EXPECT_LT(errors.at("language q4"), 0.12);
  EXPECT_LT(errors.at("vision q8"), 0.01);
  EXPECT_LT(errors.at("head q8"), 0.01);
  EXPECT_EQ(report.at("worst").size(), 5u);
  EXPECT_EQ(report.at("worst")[0].at("form"), "q4");
  const Json facts =
      json_of(run_llava({"inspect", "--model-path", output(), "--verify", "--json"}));
  EXPECT_THAT(facts.at("problems"), IsEmpty());
  EXPECT_GT(facts.at("memory").at("forms").at("q4").get<int64_t>(), 0);
}

TEST_F(Quantize, DamageIsNamed) {
  json_of(run_llava(quantize("hf-llava")));
  const fs::path store = fs::path(output()) / "model.llava";
  std::string text = read_text(store);
  text[text.size() - 1] ^= 1;
  std::ofstream(store, std::ios::binary) << text;
  const ProcessResult result =
      run_llava({"inspect", "--model-path", output(), "--verify", "--json"});
  EXPECT_EQ(result.status, 5);
  EXPECT_THAT(result.out, HasSubstr("does not have its checksum"));
  EXPECT_THAT(result.out, HasSubstr("tensor '"));
  std::ofstream(store, std::ios::binary) << text.substr(0, text.size() - 1);
  const std::string message = error_of(
      run_llava({"run", "--model-path", output(), "--query", "x", "--json"}), 3, "bad_format");
  EXPECT_THAT(message, HasSubstr("incomplete"));
  text[8] = 9;
  std::ofstream(store, std::ios::binary) << text;
  error_of(run_llava({"run", "--model-path", output(), "--query", "x", "--json"}), 3,
           "unsupported");
}

TEST_F(Quantize, AnExistingOutputIsKept) {
  json_of(run_llava(quantize("hf-llava")));
  const std::string before = read_text(fs::path(output()) / "model.llava");
  EXPECT_THAT(error_of(run_llava(quantize("hf-llava", {"--lm", "q8"})), 2, "invalid_argument"),
              HasSubstr("--force"));
  EXPECT_EQ(read_text(fs::path(output()) / "model.llava"), before);
  json_of(run_llava(quantize("hf-llava", {"--lm", "q8", "--force"})));
  EXPECT_NE(read_text(fs::path(output()) / "model.llava"), before);
  // --force replaces stores only.
  fs::remove(fs::path(output()) / "model.llava");
  write("out/thesis.txt", "years of work");
  EXPECT_THAT(error_of(run_llava(quantize("hf-llava", {"--force"})), 2, "invalid_argument"),
              HasSubstr("no packed store"));
  EXPECT_TRUE(fs::exists(folder_ / "out/thesis.txt"));
  expect_no_remains();
}

TEST_F(Quantize, PrecisionsThatDoNotGoTogether) {
  EXPECT_THAT(error_of(run_llava(quantize("hf-llava", {"--head", "bf16"})), 2, "invalid_argument"),
              HasSubstr("--head bf16 does not go with --lm q4"));
  EXPECT_FALSE(fs::exists(output()));
}

// A limit on the size of files stands in for a disk that is full.
TEST_F(Quantize, AFullDiskLeavesNothingBehind) {
  ProcessRequest request = program_request(quantize("hf-llava", {"--lm", "f32"}));
  std::string command = "trap '' XFSZ; ulimit -f 40; exec \"$@\"";
  request.arguments = Strings{"/bin/bash", "-c", command, "bash"} + request.arguments;
  EXPECT_THAT(error_of(run_process(request), 4, "resource_exhausted"), HasSubstr("cannot write"));
  EXPECT_FALSE(fs::exists(output()));
  expect_no_remains();
}

TEST_F(Quantize, CalibrationChoosesOtherScales) {
  json_of(run_llava(quantize("llava-v1.5-pad")));
  const std::string before = read_text(fs::path(output()) / "model.llava");
  fs::copy(golden_image("square_28x28.png"), folder_ / "a.png");
  const fs::path samples =
      write("samples", "a plain text\n\n{\"text\": \"What is this?\", \"image\": \"a.png\"}\n");
  const Strings flags = {"--force", "--calibrate", samples.string()};
  json_of(run_llava(quantize("llava-v1.5-pad", flags)));
  const std::string after = read_text(fs::path(output()) / "model.llava");
  EXPECT_EQ(after.size(), before.size());
  EXPECT_NE(after, before);
  json_of(run_llava(quantize("llava-v1.5-pad", flags)));
  EXPECT_EQ(read_text(fs::path(output()) / "model.llava"), after);

  write("samples", "good\n{\"image\": \"a.png\"}\n");
  EXPECT_THAT(error_of(run_llava(quantize("llava-v1.5-pad", flags)), 3, "bad_format"),
              HasSubstr("line 2"));
  write("samples", "\n");
  EXPECT_THAT(error_of(run_llava(quantize("llava-v1.5-pad", flags)), 2, "invalid_argument"),
              HasSubstr("no samples"));
}

// Written in float32 and read again, a language model says what it said.
TEST_F(Quantize, AGgufLanguageModelAnswersAsItsSource) {
  for (const char* model : {"base-vicuna", "base-gguf.gguf"}) {
    SCOPED_TRACE(model);
    const auto ask = [](const std::string& path) {
      return json_of(run_llava({"run", "--model-path", path, "--query", "What is this?",
                                "--conv-mode", "plain", "--temperature", "0", "--max-new-tokens",
                                "8", "--dtype", "float32", "--json"}));
    };
    json_of(run_llava(quantize(model, {"--format", "gguf", "--lm", "f32", "--force"})));
    const Json before = ask(golden_model(model));
    const Json after = ask((fs::path(output()) / "model.gguf").string());
    EXPECT_EQ(after.at("prompt_ids"), before.at("prompt_ids"));
    EXPECT_EQ(after.at("generated_ids"), before.at("generated_ids"));
  }
  json_of(run_llava(quantize("llava-v1.5-pad", {"--format", "gguf", "--force"})));
  EXPECT_TRUE(fs::exists(fs::path(output()) / "mmproj.gguf"));
  EXPECT_THAT(error_of(run_llava(quantize("llava-v1.5-mlp3x", {"--format", "gguf", "--force"})), 3,
                       "unsupported"),
              HasSubstr("projectors of two layers"));
}

using QuantizedBundledModel = BundledQuestions;

// Merged with its adapters and quantised a second time: 8 bits change no answer, 4 bits none of
// their first words.
TEST_F(QuantizedBundledModel, AnswersTheSame) {
  const fs::path folder = fs::path(::testing::TempDir()) / "bundled-quantized";
  for (const std::string form : {"q8", "q4"}) {
    SCOPED_TRACE(form);
    json_of(
        run_llava({"quantize", "--lm", form, "--output", folder.string(), "--force", "--json"}));
    for (int i = 0; i < 5; ++i) {
      const Json& question = questions_.at(static_cast<std::size_t>(i * 10));
      SCOPED_TRACE(question.at("question").get<std::string>());
      const Json answer =
          json_of(run_llava(arguments(question) + Strings{"--model-path", folder.string()}));
      EXPECT_EQ(answer.at("prompt_ids"), question.at("prompt_ids"));
      const auto expected = question.at("text").get<std::string>();
      if (form == "q8") {
        EXPECT_EQ(answer.at("text"), expected);
      } else {
        EXPECT_THAT(answer.at("text").get<std::string>(), StartsWith(expected));
      }
    }
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace llava::testing
