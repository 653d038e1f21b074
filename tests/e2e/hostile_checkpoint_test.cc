// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints whose files are whole but lie: sizes, shapes, places and programs in them are refused
// before anything is allocated or opened for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "checkpoint_copy.h"
#include "program.h"
#include "support/paths.h"

namespace llava::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

using Strings = std::vector<std::string>;

// Beyond what answering with a sound golden checkpoint takes.
constexpr int64_t kAllowedBytes = int64_t{64} << 20;

class HostileCheckpoint : public CheckpointCopy {
 protected:
  static Strings ask(const fs::path& model) {
    return {"run",
            "--model-path",
            model.string(),
            "--query",
            "What?",
            "--image-file",
            golden_image("square_28x28.png"),
            "--max-new-tokens",
            "2",
            "--json"};
  }

  // The message; what refusing took in memory is compared with an answer.
  std::string refusal(const fs::path& model, const std::string& code = "bad_format") {
    if (usual_bytes_ == 0) usual_bytes_ = run_llava(ask(golden_model("hf-llava"))).peak_bytes;
    const ProcessResult result = run_llava(ask(model));
    EXPECT_LT(result.peak_bytes, usual_bytes_ + kAllowedBytes);
    EXPECT_LT(run_llava({"inspect", "--model-path", model.string(), "--json"}).peak_bytes,
              usual_bytes_ + kAllowedBytes);
    return error_of(result, 3, code);
  }

 private:
  int64_t usual_bytes_ = 0;
};

std::string number(uint64_t value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string repeated(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

TEST_F(HostileCheckpoint, SafetensorsHeaders) {
  static constexpr const char* kName = "language_model.lm_head.weight";
  struct Case {
    const char* key;
    Json value;
    const char* part;
    const char* code = "bad_format";
  };
  const int64_t huge = int64_t{1} << 62;
  for (const Case& c :
       std::vector<Case>{{"shape", {huge, 4}, "impossible shape [4611686018427387904, 4]"},
                         {"shape", {huge / 4, 16, 48}, "impossible shape"},
                         {"shape", {-1, 48}, "[-1, 48]"},
                         {"shape", {1e300, 2}, "expected a list of integers"},
                         {"shape", {48, 448}, "43008 bytes"},
                         {"shape", "all of it", "'shape'"},
                         {"data_offsets", {0, huge}, "[0, 4611686018427387904)"},
                         {"data_offsets", {-8, 8}, "[-8, 8)"},
                         {"data_offsets", {0}, "'data_offsets'"},
                         {"dtype", "F7", "supported are F32", "unsupported"}}) {
    SCOPED_TRACE(c.value.dump());
    const fs::path file = copy("hf-llava") / "model.safetensors";
    edit_header(file, [&c](Json& header) { header.at(kName)[c.key] = c.value; });
    EXPECT_THAT(refusal(file.parent_path(), c.code),
                AllOf(HasSubstr(file.string()), HasSubstr(kName), HasSubstr(c.part)));
  }
}

TEST_F(HostileCheckpoint, SafetensorsHeaderLengths) {
  for (const uint64_t length :
       {~uint64_t{0}, uint64_t{1} << 63, uint64_t{1} << 40, uint64_t{99'999'999}}) {
    SCOPED_TRACE(length);
    const fs::path file = copy("hf-llava") / "model.safetensors";
    edit(file, [length](const std::string& text) { return number(length) + text.substr(8); });
    EXPECT_THAT(refusal(file.parent_path()),
                AllOf(HasSubstr(file.string()), HasSubstr("byte 0 is " + std::to_string(length)),
                      HasSubstr("203688 bytes follow")));
  }
}

// Counts and lengths in the fixed part of the file: version, tensors, values, first key's length.
TEST_F(HostileCheckpoint, GgufCounts) {
  struct Case {
    std::size_t offset;
    uint64_t value;
    const char* part;
  };
  for (const Case& c : {Case{8, ~uint64_t{0}, "18446744073709551615"},
                        Case{16, uint64_t{1} << 60, "1152921504606846976"},
                        Case{24, uint64_t{1} << 61, "2305843009213693952"}}) {
    SCOPED_TRACE(c.offset);
    const fs::path file = copy("base-gguf.gguf");
    edit(file, [&c](std::string text) { return text.replace(c.offset, 8, number(c.value)); });
    const Strings arguments{"--model-path", file.string(), "--json"};
    const std::string message =
        error_of(run_llava(Strings{"run", "--query", "What?"} + arguments), 3, "bad_format");
    EXPECT_THAT(message, AllOf(HasSubstr(file.string()), HasSubstr(c.part)));
    EXPECT_EQ(error_of(run_llava(Strings{"inspect"} + arguments), 3, "bad_format"), message);
  }
}

TEST_F(HostileCheckpoint, TokenizerModelLengths) {
  const fs::path file = copy("llava-v1.5-pad") / "tokenizer.model";
  // The first piece says that it has 2^40 bytes.
  edit(file,
       [](const std::string& text) { return "\x0a\x80\x80\x80\x80\x80\x20" + text.substr(2); });
  EXPECT_THAT(refusal(file.parent_path()), AllOf(HasSubstr(file.string()), HasSubstr("offset 0"),
                                                 HasSubstr("1099511627776 bytes")));
}

TEST_F(HostileCheckpoint, ConfigValues) {
  struct Case {
    const char* from;
    const char* to;
    Strings parts;
    const char* code = "bad_format";
  };
  for (const Case& c :
       std::vector<Case>{{"\"hidden_size\": 48",
                          "\"hidden_size\": 2000000000",
                          {"'hidden_size' is 2000000000", "1 to"}},
                         {"\"hidden_size\": 48",
                          "\"hidden_size\": \"wide\"",
                          {"'hidden_size' is \"wide\"", "an integer"}},
                         {"\"num_hidden_layers\": 2",
                          "\"num_hidden_layers\": 1000000000",
                          {"'num_hidden_layers'", "1 to"}},
                         {"\"num_attention_heads\": 3",
                          "\"num_attention_heads\": 0",
                          {"'num_attention_heads' is 0"}},
                         {"\"vocab_size\": 448", "\"vocab_size\": -1", {"'vocab_size' is -1"}},
                         {"\"max_position_embeddings\": 1024",
                          "\"max_position_embeddings\": 2147483647",
                          {"'max_position_embeddings' is 2147483647"}},
                         {"\"mm_vision_select_layer\": -2",
                          "\"mm_vision_select_layer\": 77",
                          {"'vision_feature_layer' is 77", "-4 to 3"}},
                         {"mlp2x_gelu", "qformer", {"qformer", "mlpNx_gelu"}, "unsupported"},
                         {"\"rope_scaling\": null",
                          "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}",
                          {"'yarn'", "llama3"},
                          "unsupported"}}) {
    SCOPED_TRACE(c.to);
    const fs::path file = copy("llava-v1.5-pad") / "config.json";
    substitute(file, c.from, c.to);
    const std::string message = refusal(file.parent_path(), c.code);
    EXPECT_THAT(message, HasSubstr(file.string()));
    for (const std::string& part : c.parts) EXPECT_THAT(message, HasSubstr(part));
  }
}

TEST_F(HostileCheckpoint, WeightsOfAnotherShape) {
  struct Case {
    const char* from;
    const char* to;
    Strings parts;
  };
  for (const Case& c : std::vector<Case>{
           {"\"intermediate_size\": 64",
            "\"intermediate_size\": 128",
            {"gate_proj.weight'", "[64, 48]", "expected [128, 48]"}},
           {"\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 3",
            {"9 of", "model.layers.2.input_layernorm.weight", "model-00001-of-00002.safetensors",
             "incomplete"}},
           {"mlp2x_gelu", "linear", {"2 of", "model.mm_projector.weight", "incomplete"}}}) {
    SCOPED_TRACE(c.to);
    const fs::path model = copy("llava-v1.5-pad");
    substitute(model / "config.json", c.from, c.to);
    const std::string message = refusal(model);
    for (const std::string& part : c.parts) EXPECT_THAT(message, HasSubstr(part));
  }
}

TEST_F(HostileCheckpoint, IndicesThatLeaveTheFolder) {
  // What such an index would read: another checkpoint's file, which is sound.
  const std::string other = golden_model("hf-llava") + "/model.safetensors";
  for (const std::string& place : {std::string("../hf-llava/model.safetensors"), other,
                                   std::string(".."), std::string("sub/x"), std::string("")}) {
    SCOPED_TRACE(place);
    copy("hf-llava");
    const fs::path file = copy("llava-v1.5-pad") / "model.safetensors.index.json";
    edit(file, [&place](const std::string&) {
      return Json{{"weight_map", {{"language_model.lm_head.weight", place}}}}.dump();
    });
    EXPECT_THAT(refusal(file.parent_path()),
                AllOf(HasSubstr(file.string()), HasSubstr("'language_model.lm_head.weight'"),
                      HasSubstr("\"" + place + "\""), HasSubstr("same folder")));
  }
}

TEST_F(HostileCheckpoint, IndicesThatDoNotFitTheirFiles) {
  const std::string shard = "model-00001-of-00002.safetensors";
  for (const auto& [index, part] : std::vector<std::pair<Json, std::string>>{
           {Json::array(), "expected a JSON object, found array"},
           {{{"weight_map", nullptr}}, "'weight_map' is absent"},
           {{{"weight_map", Json::object()}}, "'weight_map' is {}"},
           {{{"weight_map", {{"a", 1}}}}, "'a'"},
           {{{"weight_map", {{"a", shard}}}}, "which does not have it"},
           {{{"weight_map", {{"a", "config.json"}}}}, "config.json' begins like none of"}}) {
    SCOPED_TRACE(index.dump());
    const fs::path file = copy("llava-v1.5-pad") / "model.safetensors.index.json";
    edit(file, [&text = index](const std::string&) { return text.dump(); });
    EXPECT_THAT(refusal(file.parent_path()), HasSubstr(part));
  }
}

// A name cannot end the message, nor write to the terminal.
TEST_F(HostileCheckpoint, ControlCharactersInNamesAreWrittenOut) {
  const fs::path file = copy("llava-v1.5-pad") / "model.safetensors.index.json";
  edit(file,
       [](const std::string&) { return R"({"weight_map": {"a\u0000b\u001b[2Jc": "../x"}})"; });
  EXPECT_THAT(refusal(file.parent_path()),
              HasSubstr(R"('a\x00b\x1b[2Jc' is said to be in "../x")"));
}

TEST_F(HostileCheckpoint, DeeplyNestedJson) {
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json",
                           "preprocessor_config.json", "generation_config.json"}) {
    for (const std::string& text : {repeated("[", 200000), repeated("{\"a\":", 200000)}) {
      SCOPED_TRACE(std::string(name) + " " + text.substr(0, 5));
      const fs::path file = copy("hf-llava") / name;
      edit(file, [&text](const std::string&) { return text; });
      EXPECT_THAT(refusal(file.parent_path()),
                  AllOf(HasSubstr(file.string()), HasSubstr("nested deeper than 100 levels")));
    }
  }
}

TEST_F(HostileCheckpoint, PicklesThatWouldRunPrograms) {
  struct Case {
    const char* file;
    const char* part;
    const char* code = "bad_format";
  };
  for (const Case& c : {Case{"os_system.bin", "'posix.system' at byte 13"},
                        Case{"builtins_eval.bin", "'__builtin__.eval' at byte 13"},
                        Case{"getattr.bin", "'__builtin__.getattr' at byte 13"},
                        Case{"torch_script.bin", "TorchScript", "unsupported"},
                        Case{"legacy.bin", "before version 1.6", "unsupported"}}) {
    SCOPED_TRACE(c.file);
    const fs::path file = copy("llava-7b-legacy") / "pytorch_model.bin";
    edit(file, [&c](const std::string&) {
      return read_text(source_folder() / "tests/data/checkpoint/hostile" / c.file);
    });
    EXPECT_THAT(refusal(file.parent_path(), c.code),
                AllOf(HasSubstr(file.string()), HasSubstr(c.part)));
  }
}

TEST_F(HostileCheckpoint, APicturesTokenThatDoesNotExist) {
  const fs::path model = copy("hf-llava");
  substitute(model / "config.json", "\"image_token_index\": ", "\"image_token_index\": 99");
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("'image_token_index' is 99"), HasSubstr("450")));
}

TEST_F(HostileCheckpoint, AGridOfThousandsOfTiles) {
  const fs::path model = copy("llava-v1.6-unpad");
  edit(model / "config.json", [](const std::string& text) {
    Json config = parse_json(text, "config.json");
    config["image_grid_pinpoints"] = {{28, 65520}, {28, 28}};
    return config.dump();
  });
  EXPECT_THAT(refusal(model), AllOf(HasSubstr(model.string()), HasSubstr("28x65520"),
                                    HasSubstr("2340 tiles"), HasSubstr("at most 1024")));
}

TEST_F(HostileCheckpoint, AProcessorOfAnotherTower) {
  const fs::path model = copy("hf-llava");
  write("hf-llava/preprocessor_config.json", "{}");  // CLIP's defaults, 224 pixels
  EXPECT_THAT(refusal(model), AllOf(HasSubstr(model.string()), HasSubstr("224"), HasSubstr("28"),
                                    HasSubstr("preprocessor_config.json")));
}

}  // namespace
}  // namespace llava::testing
