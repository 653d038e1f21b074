// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints that are damaged, incomplete, hostile or of another model: `llava run` and `llava
// inspect` say which file, where in it, what was expected and found; neither ever crashes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "checkpoint_copy.h"
#include "program.h"

namespace llava::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

using Strings = std::vector<std::string>;

class BadCheckpoint : public CheckpointCopy {
 protected:
  // What `llava run` says about the checkpoint, after checking that `llava inspect` says the same:
  // as its own error, or as one of the problems it lists.
  static std::string refusal(const fs::path& model, const std::string& code,
                             const std::string& base = {}) {
    Strings which{"--model-path", model.string(), "--json"};
    if (!base.empty()) which = std::move(which) + Strings{"--model-base", golden_model(base)};
    const int status = code == "invalid_argument" ? 2 : 3;
    const std::string message =
        error_of(run_llava(Strings{"run", "--image-file", golden_image("square_28x28.png"),
                                   "--query", "What?", "--max-new-tokens", "2"} +
                           which),
                 status, code);
    const ProcessResult inspected = run_llava(Strings{"inspect"} + which);
    if (inspected.status != 0) {
      EXPECT_EQ(error_of(inspected, status, code), message);
    } else {
      EXPECT_THAT(json_of(inspected).at("problems").get<Strings>(), Contains(message));
    }
    return message;
  }
};

struct CheckpointFile {
  const char* model;
  const char* file;  // relative to the folder that the model's copy is in
  const char* base = "";
};

constexpr CheckpointFile kFiles[] = {
    {"hf-llava", "hf-llava/model.safetensors"},
    {"hf-llava", "hf-llava/config.json"},
    {"hf-llava", "hf-llava/tokenizer.json"},
    {"hf-llava", "hf-llava/tokenizer_config.json"},
    {"hf-llava", "hf-llava/preprocessor_config.json"},
    {"hf-llava", "hf-llava/generation_config.json"},
    {"hf-llava", "hf-llava/chat_template.jinja"},
    {"llava-v1.5-pad", "llava-v1.5-pad/model-00002-of-00002.safetensors"},
    {"llava-v1.5-pad", "llava-v1.5-pad/model.safetensors.index.json"},
    {"llava-v1.5-pad", "llava-v1.5-pad/tokenizer.model"},
    {"llava-v1.5-pad", "towers/clip-28/config.json"},
    {"llava-v1.5-pad", "towers/clip-28/model.safetensors"},
    {"llava-v1.5-pad", "towers/clip-28/preprocessor_config.json"},
    {"llava-7b-legacy", "llava-7b-legacy/pytorch_model.bin"},
    {"llava-7b-legacy", "llava-7b-legacy/added_tokens.json"},
    {"llava-v1.5-lora-rslora", "llava-v1.5-lora-rslora/adapter_config.json", "base-vicuna"},
    {"llava-v1.5-lora-rslora", "llava-v1.5-lora-rslora/adapter_model.safetensors", "base-vicuna"},
    {"llava-v1.5-lora-rslora", "llava-v1.5-lora-rslora/non_lora_trainables.bin", "base-vicuna"},
    {"llava-projector-mlp2x", "llava-projector-mlp2x/mm_projector.bin", "base-vicuna"},
    {"base-gguf.gguf", "base-gguf.gguf"},
};

TEST_F(BadCheckpoint, TruncatedFiles) {
  for (const CheckpointFile& c : kFiles) {
    SCOPED_TRACE(c.file);
    const fs::path model = copy(c.model);
    edit(folder_ / c.file, [](const std::string& text) { return text.substr(0, text.size() / 2); });
    const std::string message = refusal(model, "bad_format", c.base);
    EXPECT_THAT(message, HasSubstr((folder_ / c.file).string()));
    EXPECT_THAT(message, ContainsRegex("(byte|bytes|offset|line) \\[?[0-9]+"));
    EXPECT_THAT(message, ContainsRegex("damaged|incomplete|truncated|again|has no end"));
  }
}

TEST_F(BadCheckpoint, EmptyFiles) {
  for (const CheckpointFile& c : kFiles) {
    SCOPED_TRACE(c.file);
    const fs::path model = copy(c.model);
    edit(folder_ / c.file, [](const std::string&) { return std::string(); });
    const std::string message = refusal(model, "bad_format", c.base);
    EXPECT_THAT(message, HasSubstr((folder_ / c.file).string()));
    EXPECT_THAT(message, ContainsRegex("empty|no pieces"));
  }
}

TEST_F(BadCheckpoint, DirectoriesInPlaceOfFiles) {
  for (const CheckpointFile& c : kFiles) {
    // A folder is a checkpoint of another layout, and one without a config.json is no tower.
    if (std::string(c.model) == c.file || std::string(c.file) == "towers/clip-28/config.json") {
      continue;
    }
    SCOPED_TRACE(c.file);
    const fs::path model = copy(c.model);
    fs::remove(folder_ / c.file);
    fs::create_directory(folder_ / c.file);
    EXPECT_THAT(refusal(model, "bad_format", c.base),
                AllOf(HasSubstr((folder_ / c.file).string()),
                      HasSubstr("is a directory, expected a file")));
  }
}

TEST_F(BadCheckpoint, MissingFilesSayWhatIsNeeded) {
  struct Case {
    const char* model;
    const char* file;
    Strings parts;
    const char* base = "";
    const char* code = "not_found";
  };
  const std::vector<Case> cases{
      {"hf-llava", "model.safetensors", {"hf-llava'", "model.safetensors.index.json"}},
      {"hf-llava", "config.json", {"hf-llava'", "config.json"}},
      {"hf-llava", "tokenizer.json", {"hf-llava'", "tokenizer.json", "copy"}},
      {"hf-llava", "preprocessor_config.json", {"hf-llava'", "preprocessor_config.json", "copy"}},
      {"llava-v1.5-pad",
       "model-00002-of-00002.safetensors",
       {"model.safetensors.index.json'", "model-00002-of-00002.safetensors", "download"}},
      {"llava-v1.5-pad", "tokenizer.model", {"llava-v1.5-pad'", "tokenizer.model", "copy"}},
      {"llava-v1.5-lora-rslora",
       "adapter_config.json",
       {"llava-v1.5-lora-rslora'", "adapter_model.safetensors", "adapter_config.json"},
       "base-vicuna"},
      {"llava-v1.5-lora-rslora",
       "adapter_model.safetensors",
       {"llava-v1.5-lora-rslora'", "adapter_model.safetensors"},
       "base-vicuna"},
      {"llava-v1.5-lora-rslora",
       "non_lora_trainables.bin",
       {"4 of", "model.mm_projector.0.weight", "base-vicuna/model.safetensors", "incomplete"},
       "base-vicuna",
       "bad_format"},
      {"llava-projector-mlp2x",
       "mm_projector.bin",
       {"llava-projector-mlp2x'", "mm_projector.bin", "adapter_config.json"},
       "base-vicuna"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.model) + "/" + c.file);
    const fs::path model = copy(c.model);
    fs::remove(model / c.file);
    const std::string message = refusal(model, c.code, c.base);
    for (const std::string& part : c.parts) EXPECT_THAT(message, HasSubstr(part));
  }
}

TEST_F(BadCheckpoint, MissingTowerNamesThePlacesLookedAt) {
  const fs::path model = copy("llava-v1.5-pad");
  fs::remove_all(folder_ / "towers");
  EXPECT_THAT(refusal(model, "not_found"),
              AllOf(HasSubstr("'towers/clip-28'"), HasSubstr((folder_ / "towers/clip-28").string()),
                    HasSubstr("--vision-tower")));
}

// The original chooses its templates by name and never reads the tokenizer's own.
TEST_F(BadCheckpoint, ABadFileThatNobodyNeedsIsNoError) {
  const fs::path model = copy("llava-v1.5-pad");
  write("llava-v1.5-pad/chat_template.jinja", "{% no such tag %}");
  EXPECT_EQ(run_llava({"run", "--query", "What?", "--model-path", model.string(),
                       "--max-new-tokens", "2"})
                .status,
            0);
}

TEST_F(BadCheckpoint, WhatIsNoCheckpointAtAll) {
  fs::create_directory(folder_ / "empty");
  write("not_a_model.txt", "hello, this is text");
  struct Case {
    fs::path path;
    const char* code;
    const char* part;
  };
  for (const Case& c :
       {Case{folder_ / "nowhere", "not_found", "check the path"},
        Case{folder_ / "empty", "not_found", "config.json"},
        Case{folder_ / "not_a_model.txt", "bad_format", "folder"},
        Case{fs::path(golden_model("hf-llava")) / "model.safetensors", "bad_format", "folder"},
        Case{"/dev/null", "bad_format", "regular file"}}) {
    SCOPED_TRACE(c.path);
    EXPECT_THAT(refusal(c.path, c.code), AllOf(HasSubstr(c.path.string()), HasSubstr(c.part)));
  }
}

// What cannot even be looked at is no internal fault.
TEST_F(BadCheckpoint, LinksThatLeadNowhere) {
  for (const char* name : {"model.safetensors", "config.json", "tokenizer.json"}) {
    SCOPED_TRACE(name);
    const fs::path model = copy("hf-llava");
    fs::remove(model / name);
    fs::create_symlink(model / name, model / name);
    EXPECT_THAT(refusal(model, "not_found"),
                AllOf(HasSubstr((model / name).string()), HasSubstr("symbolic links")));
    fs::remove(model / name);
    fs::create_symlink(folder_ / "nowhere", model / name);
    EXPECT_THAT(refusal(model, "not_found"), HasSubstr("hf-llava'"));
  }
}

TEST_F(BadCheckpoint, WeightsThatAreNoNumbers) {
  const fs::path model = copy("hf-llava");
  edit(model / "model.safetensors", [](const std::string& text) {
    SafetensorsParts parts = SafetensorsParts::of(text);
    const Json& offsets = parts.header.at("language_model.lm_head.weight").at("data_offsets");
    for (auto i = offsets.at(0).get<std::size_t>(); i < offsets.at(1).get<std::size_t>(); i += 2) {
      parts.data.replace(i, 2, "\xC0\x7F");  // not a number in bfloat16
    }
    return parts.file();
  });
  for (const char* temperature : {"0", "1"}) {
    EXPECT_THAT(error_of(run_llava({"run", "--json", "--query", "What?", "--model-path",
                                    model.string(), "--temperature", temperature}),
                         3, "bad_format"),
                AllOf(HasSubstr("not numbers"), HasSubstr("--dtype float32")));
  }
}

TEST_F(BadCheckpoint, OtherModelsAreNamedBesideWhatIsSupported) {
  struct Case {
    const char* architecture;
    const char* type;
  };
  for (const Case& c : {Case{"CLIPModel", "clip"}, Case{"CLIPVisionModel", "clip_vision_model"},
                        Case{"LlavaMptForCausalLM", "llava_mpt"},
                        Case{"LlavaOnevisionForConditionalGeneration", "llava_onevision"},
                        Case{"BertForMaskedLM", "bert"}, Case{"GPT2LMHeadModel", "gpt2"},
                        Case{"VipLlavaForConditionalGeneration", "vipllava"}}) {
    SCOPED_TRACE(c.type);
    // The keys of the former model stay: the name alone must be enough to refuse it.
    const fs::path model = copy("hf-llava");
    edit(model / "config.json", [&c](const std::string& text) {
      Json config = parse_json(text, "config.json");
      config["architectures"] = Json::array({c.architecture});
      config["model_type"] = c.type;
      return config.dump();
    });
    EXPECT_THAT(refusal(model, "unsupported"),
                AllOf(HasSubstr((model / "config.json").string()), HasSubstr(c.architecture),
                      HasSubstr(c.type), HasSubstr("LlavaLlamaForCausalLM")));
  }
  // A tower alone.
  copy("llava-v1.5-pad");
  EXPECT_THAT(refusal(folder_ / "towers/clip-full-42", "unsupported"), HasSubstr("CLIPModel"));
}

TEST_F(BadCheckpoint, AWrongBaseIsNamed) {
  EXPECT_THAT(refusal(copy("llava-v1.5-lora-rslora"), "bad_format", "base-gguf-k.gguf"),
              AllOf(HasSubstr("base-gguf-k.gguf"), HasSubstr("[448, 256]"),
                    HasSubstr("expected [448, 48]")));
  EXPECT_THAT(refusal(copy("llava-projector-mlp2x"), "bad_format", "hf-llava"),
              HasSubstr("hf-llava/model.safetensors"));
  EXPECT_THAT(error_of(run_llava({"run", "--json", "--query", "What?", "--model-path",
                                  golden_model("llava-v1.5-lora-rslora")}),
                       2, "invalid_argument"),
              AllOf(HasSubstr("llava-v1.5-lora-rslora"), HasSubstr("--model-base")));
  EXPECT_THAT(error_of(run_llava({"run", "--json", "--query", "What?", "--model-path",
                                  golden_model("llava-v1.5-lora-rslora"), "--model-base",
                                  (folder_ / "nowhere").string()}),
                       3, "not_found"),
              HasSubstr("--model-base"));
}

// Requests that no sound checkpoint can answer.
TEST_F(BadCheckpoint, PromptsAndTemplatesThatCannotBe) {
  std::string query;
  for (int i = 0; i < 20000; ++i) query += "word ";
  Strings ask = ask_golden("llava-v1.5-pad", golden_image("square_28x28.png"), query);
  EXPECT_THAT(error_of(run_llava(ask), 2, "invalid_argument"),
              AllOf(ContainsRegex("prompt has [0-9]+ tokens"), HasSubstr("holds 1024"),
                    HasSubstr("shorten")));
  ask = ask_golden("llava-v1.5-pad", golden_image("square_28x28.png"), "What?");
  EXPECT_THAT(error_of(run_llava(ask + Strings{"--conv-mode", "nosuch"}), 2, "invalid_argument"),
              AllOf(HasSubstr("'nosuch'"), HasSubstr("known templates"), HasSubstr("vicuna_v1")));
}

}  // namespace
}  // namespace llava::testing
