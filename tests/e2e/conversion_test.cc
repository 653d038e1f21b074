// SPDX-License-Identifier: Apache-2.0
//
// Commands that write a checkpoint: what they write is what the original's programs write, our own
// program and loader read it as the same model, and what cannot be done is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <fstream>

#include "checkpoint_copy.h"
#include "llava/checkpoint/safetensors.h"
#include "llava/checkpoint/sharded.h"
#include "llava/checkpoint/weights_hash.h"
#include "llava/core/hash.h"
#include "program.h"
#include "support/paths.h"

namespace llava::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

using Strings = std::vector<std::string>;

class Conversion : public CheckpointCopy {
 protected:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  static const Json& expected() {
    static const Json json =
        read_json_file(test_data() / "checkpoint" / "conversion" / "expected.json");
    return json;
  }

  // Every tensor and the keys of config.json that the original's program wrote.
  static void expect_written(const fs::path& folder, const Json& description) {
    const auto source = checkpoint::open_weights(folder);
    EXPECT_EQ(source->tensors().size(), description.at("tensors").size());
    for (const auto& [name, tensor] : description.at("tensors").items()) {
      SCOPED_TRACE(name);
      ASSERT_TRUE(source->tensors().contains(name));
      const Tensor found = source->load(name);
      EXPECT_EQ(dtype_name(found.dtype()), tensor[0].get<std::string>());
      EXPECT_EQ(found.shape(), tensor[1].get<Shape>());
      EXPECT_EQ(to_hex(sha256(found.bytes())), tensor[2].get<std::string>());
    }
    const Json config = read_json_file(folder / "config.json");
    for (const auto& [key, value] : description.at("config").items()) {
      EXPECT_EQ(config.at(key), value) << key;
    }
  }

  Strings merge(const std::string& model, const std::string& base, const std::string& output,
                const Strings& flags = {}) const {
    return Strings{"merge-lora",       "--model-path",      golden_model(model), "--model-base",
                   golden_model(base), "--save-model-path", path(output),        "--json"} +
           flags;
  }

  Strings tower(const std::string& name = "clip-28") const {
    return {"--vision-tower", golden_model("towers/" + name)};
  }

  static Json ask(const Strings& flags) {
    return json_of(run_llava(Strings{"run", "--image-file", golden_image("square_28x28.png"),
                                     "--query", "What is this?", "--temperature", "0",
                                     "--max-new-tokens", "8", "--json"} +
                             flags));
  }

  void expect_nothing_left(const std::string& name) const {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      EXPECT_THAT(entry.path().filename().string(), ::testing::Not(HasSubstr(".tmp-")));
    }
    EXPECT_FALSE(fs::exists(folder_ / name));
  }
};

TEST_F(Conversion, ReferenceMergesAreTheOriginals) {
  for (const auto& [model, description] : expected().at("merge").items()) {
    SCOPED_TRACE(model);
    const std::string clip = model.ends_with("startend") ? "clip-full-42" : "clip-28";
    const Json report =
        json_of(run_llava(merge(model, description.at("base").get<std::string>(), "llava-merged",
                                tower(clip) + Strings{"--compat", "reference"})));
    EXPECT_EQ(report.at("tensors"), description.at("tensors").size());
    EXPECT_EQ(report.at("base_checked"), false);
    EXPECT_EQ(report.at("merged").get<int>() > 0, model.find("lora") != std::string::npos);
    expect_written(folder_ / "llava-merged", description);
    fs::remove_all(folder_ / "llava-merged");
  }
}

TEST_F(Conversion, AMergedFolderPassesTheBundlesOfTheOriginal) {
  struct Case {
    const char* model;
    const char* base;
  };
  for (const Case& c : {Case{"llava-v1.5-lora-rslora", "base-vicuna"},
                        Case{"llava-v1.5-lora-patterns", "base-vicuna"},
                        Case{"llava-v1.5-lora-head", "base-vicuna"},
                        Case{"llava-v1.6-lora", "llava-v1.6-tower-inside"}}) {
    SCOPED_TRACE(c.model);
    json_of(run_llava(
        merge(c.model, c.base, "llava-merged", tower() + Strings{"--compat", "reference"})));
    const ProcessResult result =
        run_llava(Strings{"parity", "--model-path", path("llava-merged"), "--reference",
                          golden_bundle(std::string(c.model) + "/merged")} +
                  tower());
    EXPECT_EQ(result.status, 0) << result.out << result.err;
    fs::remove_all(folder_ / "llava-merged");
  }
}

// Once rounded to the base's type, so that it is nearer to the unmerged model than the reference.
TEST_F(Conversion, IntendedMergesRoundOnce) {
  const std::string model = "llava-v1.5-lora-rslora", base = "base-vicuna";
  json_of(run_llava(merge(model, base, "llava-v1.5-whole", tower())));
  const auto source = checkpoint::open_weights(folder_ / "llava-v1.5-whole");
  // What no adapter touches keeps its bytes; the tower stays in its own folder.
  const auto base_source = checkpoint::open_weights(golden_model(base));
  for (const auto& [name, info] : base_source->tensors()) {
    const bool is_merged = name.find("_proj.weight") != std::string::npos;
    const Tensor found = source->load(name), before = base_source->load(name);
    EXPECT_EQ(found.dtype(), before.dtype());
    EXPECT_EQ(std::ranges::equal(found.bytes(), before.bytes()), !is_merged) << name;
  }
  EXPECT_EQ(source->tensors().size(), base_source->tensors().size() + 4);
  const Strings as_float = {"--dtype", "float32", "--vision-dtype", "float32"};
  const Json unmerged =
      ask(Strings{"--model-path", golden_model(model), "--model-base", golden_model(base)} +
          as_float + tower());
  const Json merged = ask(Strings{"--model-path", path("llava-v1.5-whole")} + as_float + tower());
  EXPECT_EQ(merged.at("prompt_ids"), unmerged.at("prompt_ids"));
  EXPECT_EQ(merged.at("generated_ids"), unmerged.at("generated_ids"));
}

TEST_F(Conversion, AnUnnamedMergeKeepsItsTemplate) {
  json_of(run_llava(merge("llava-v1.5-lora-rslora", "base-vicuna", "my-llava", tower())));
  EXPECT_EQ(read_json_file(folder_ / "my-llava" / "config.json").at("conv_mode"), "llava_v1");
  for (const char* file : {"config.json", "generation_config.json", "model.safetensors",
                           "tokenizer.model", "tokenizer_config.json"}) {
    EXPECT_TRUE(fs::exists(folder_ / "my-llava" / file)) << file;
  }
}

TEST_F(Conversion, AMergeNeedsNoTower) {
  const fs::path adapter = copy("llava-v1.5-lora-rslora");
  fs::remove_all(folder_ / "towers");
  substitute(adapter / "config.json", "towers/clip-28", "nobody/clip-elsewhere");
  const auto arguments = [&](const Strings& flags) {
    return Strings{"merge-lora",
                   "--model-path",
                   adapter.string(),
                   "--model-base",
                   golden_model("base-vicuna"),
                   "--save-model-path",
                   path("llava-a"),
                   "--json"} +
           flags;
  };
  EXPECT_THAT(error_of(run_llava(arguments({"--compat", "reference"})), 3, "not_found"),
              HasSubstr("clip-elsewhere"));
  const ProcessResult result = run_llava(arguments({}));
  json_of(result);
  EXPECT_THAT(result.err, HasSubstr("vision_tower_out_of_reach"));
  json_of(run_llava(merge("llava-v1.5-lora-rslora", "base-vicuna", "llava-b", tower())));
  EXPECT_EQ(checkpoint::base_weights_sha256(folder_ / "llava-a"),
            checkpoint::base_weights_sha256(folder_ / "llava-b"));
}

// Adapters of projector and tower, which the original never trains.
TEST_F(Conversion, AdaptersOfProjectorAndTowerAreMerged) {
  const fs::path adapter = copy("llava-v1.5-lora-rslora");
  const fs::path file = adapter / "adapter_model.safetensors";
  std::vector<std::pair<std::string, Tensor>> tensors;
  {
    const auto source = checkpoint::open_tensor_file(file);
    for (const auto& [name, info] : source->tensors()) {
      const Tensor value = source->load(name);
      tensors.emplace_back(name, host_cast(host_to_float32(value), DType::kFloat32));
    }
  }
  const auto add = [&](const std::string& module, int64_t num_out, int64_t num_in) {
    for (const auto& [part, shape] :
         {std::pair("A", Shape{4, num_in}), std::pair("B", Shape{num_out, 4})}) {
      Tensor value = Tensor::empty(shape, DType::kFloat32);
      float next = 0.0f;
      for (float& x : value.mutable_data<float>()) x = 0.2f * std::sin(next += 1.7f);
      tensors.emplace_back("base_model.model.model." + module + ".lora_" + part + ".weight", value);
    }
    fs::remove(file);
    checkpoint::write_safetensors(file, tensors);
  };
  const auto merge_into = [&](const std::string& output, const Strings& flags) {
    return run_llava(Strings{"merge-lora", "--model-path", adapter.string(), "--model-base",
                             golden_model("base-vicuna"), "--save-model-path", path(output),
                             "--json"} +
                     flags);
  };
  const std::string name = "model.mm_projector.0.weight";
  add("mm_projector.0", 48, 24);
  EXPECT_EQ(json_of(merge_into("llava-a", tower())).at("merged"), 15);
  const Tensor projector = checkpoint::open_weights(folder_ / "llava-a")->load(name);
  EXPECT_FALSE(std::ranges::equal(projector.bytes(),
                                  checkpoint::open_tensor_file(adapter / "non_lora_trainables.bin")
                                      ->load("base_model.model." + name)
                                      .bytes()));
  EXPECT_FALSE(read_json_file(folder_ / "llava-a" / "config.json")
                   .at("unfreeze_mm_vision_tower")
                   .get<bool>());

  add("vision_tower.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj", 24, 24);
  EXPECT_EQ(json_of(merge_into("llava-b", tower())).at("merged"), 16);
  EXPECT_TRUE(read_json_file(folder_ / "llava-b" / "config.json")
                  .at("unfreeze_mm_vision_tower")
                  .get<bool>());
  const Strings as_float = {"--dtype", "float32", "--vision-dtype", "float32"};
  EXPECT_EQ(
      ask(Strings{"--model-path", path("llava-b")} + as_float + tower()).at("generated_ids"),
      ask(Strings{"--model-path", adapter.string(), "--model-base", golden_model("base-vicuna")} +
          as_float + tower())
          .at("generated_ids"));

  // A shape that the projector does not have, with and without a tower that could tell.
  tensors.resize(tensors.size() - 4);
  add("mm_projector.0", 48, 23);
  EXPECT_THAT(error_of(merge_into("llava-c", tower()), 3, "bad_format"), HasSubstr("[4, 23]"));
  substitute(adapter / "config.json", "towers/clip-28", "nobody/clip-elsewhere");
  EXPECT_THAT(error_of(merge_into("llava-c", {}), 3, "bad_format"),
              HasSubstr("matrix of [48, 23], but the checkpoint has [48, 24]"));
}

TEST_F(Conversion, ShardsHoldTheSameModel) {
  const std::string model = "llava-v1.5-lora-rslora", base = "base-vicuna";
  json_of(run_llava(merge(model, base, "llava-a", tower())));
  json_of(
      run_llava(merge(model, base, "llava-b", tower() + Strings{"--max-shard-bytes", "50000"})));
  EXPECT_TRUE(fs::exists(folder_ / "llava-a" / "model.safetensors"));
  EXPECT_TRUE(fs::exists(folder_ / "llava-b" / "model.safetensors.index.json"));
  EXPECT_EQ(checkpoint::base_weights_sha256(folder_ / "llava-a"),
            checkpoint::base_weights_sha256(folder_ / "llava-b"));
}

TEST_F(Conversion, TheBaseIsCheckedWhereTheAdapterKnowsIt) {
  const fs::path adapter = copy("llava-v1.5-lora-rslora");
  const std::string hash = checkpoint::base_weights_sha256(golden_model("base-vicuna"));
  const auto arguments = [&](const std::string& base, const Strings& flags = {}) {
    return Strings{"merge-lora", "--model-path",      adapter.string(),     "--model-base",
                   base,         "--save-model-path", path("llava-merged"), "--json"} +
           tower() + flags;
  };
  const auto keep_hash = [&](const std::string& value) {
    edit_header(adapter / "adapter_model.safetensors", [&](Json& header) {
      header["__metadata__"] = {{"format", "pt"}, {"base_weights_sha256", value}};
    });
  };
  keep_hash(hash);
  EXPECT_EQ(json_of(run_llava(arguments(golden_model("base-vicuna")))).at("base_checked"), true);
  fs::remove_all(folder_ / "llava-merged");

  // One weight of the base is another.
  const fs::path base = copy("base-vicuna");
  edit(base / "model.safetensors", [](std::string text) {
    text.back() = static_cast<char>(text.back() ^ 1);
    return text;
  });
  const std::string message = error_of(run_llava(arguments(base.string())), 2, "invalid_argument");
  EXPECT_THAT(message, HasSubstr(hash));
  EXPECT_THAT(message, HasSubstr("--skip-base-check"));
  expect_nothing_left("llava-merged");
  EXPECT_EQ(json_of(run_llava(arguments(base.string(), {"--skip-base-check"}))).at("base_checked"),
            false);

  // In adapter_config.json it counts as well.
  keep_hash("");
  edit(adapter / "adapter_config.json", [&](std::string text) {
    return "{\"base_weights_sha256\": \"" + std::string(64, 'a') + "\"," + text.substr(1);
  });
  fs::remove_all(folder_ / "llava-merged");
  EXPECT_THAT(error_of(run_llava(arguments(base.string())), 2, "invalid_argument"),
              HasSubstr(std::string(64, 'a')));
}

TEST_F(Conversion, MergesThatCannotBeAreRefused) {
  const std::string model = "llava-v1.5-lora-rslora";
  struct Case {
    Strings arguments;
    int status;
    const char* code;
    const char* words;
  };
  write("full/notes.txt", "mine");
  const std::vector<Case> cases{
      {merge("absent", "base-vicuna", "llava-x"), 3, "not_found", "--model-path"},
      {merge(model, "absent", "llava-x"), 3, "not_found", "--model-base"},
      {merge(model, "base-spare-rows", "my-lora-merged"), 2, "invalid_argument", "'lora'"},
      {merge(model, "base-vicuna", "full"), 2, "invalid_argument", "not empty"},
      {merge("llava-v1.5-pad", "base-vicuna", "llava-x"), 2, "invalid_argument",
       "nothing to merge"},
      {merge("llava-v1.5-lora-gguf", "base-gguf.gguf", "llava-x"), 3, "unsupported",
       "llava quantize"},
      {merge(model, "llava-projector-mlp2x", "llava-x", tower()), 3, "not_found", ""},
      {merge(model, "hf-qwen2", "llava-x", tower()), 3, "bad_format", ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.arguments[2] + " " + c.arguments[4] + " " + c.arguments[6]);
    EXPECT_THAT(error_of(run_llava(c.arguments), c.status, c.code), HasSubstr(c.words));
    expect_nothing_left("llava-x");
  }
  EXPECT_EQ(read_text(folder_ / "full/notes.txt"), "mine");
  // Into what is read.
  const fs::path adapter = copy("llava-v1.5-lora-rslora");
  EXPECT_THAT(error_of(run_llava({"merge-lora", "--model-path", adapter.string(), "--model-base",
                                  golden_model("base-vicuna"), "--save-model-path",
                                  adapter.string() + "/", "--json"}),
                       2, "invalid_argument"),
              HasSubstr("is --model-path"));
}

TEST_F(Conversion, DeltasAreTheOriginals) {
  json_of(run_llava({"make-delta", "--base-model-path", golden_model("base-vicuna"),
                     "--target-model-path", golden_model("llava-7b-legacy"), "--delta-path",
                     path("delta"), "--json"}));
  expect_written(folder_ / "delta", expected().at("make_delta"));
  json_of(run_llava({"apply-delta", "--base_model_path", golden_model("base-vicuna"),
                     "--target_model_path", path("llava-again"), "--delta_path", path("delta"),
                     "--json"}));
  expect_written(folder_ / "llava-again", expected().at("apply_delta"));
  EXPECT_TRUE(fs::exists(folder_ / "llava-again" / "added_tokens.json"));
}

TEST_F(Conversion, DeltasThatDoNotFitAreRefused) {
  const auto make = [&](const std::string& base, const std::string& target) {
    return run_llava({"make-delta", "--base-model-path", base, "--target-model-path", target,
                      "--delta-path", path("delta"), "--json"});
  };
  const std::string legacy = golden_model("llava-7b-legacy"), base = golden_model("base-vicuna");
  // A newline is neither the base's nor the projector's.
  EXPECT_THAT(error_of(make(base, golden_model("llava-v1.6-unpad")), 3, "bad_format"),
              HasSubstr("'model.image_newline' is not in --base-model-path"));
  // The base has more rows than the model.
  const std::string shapes =
      error_of(make(golden_model("base-spare-rows"), legacy), 3, "bad_format");
  EXPECT_THAT(shapes, HasSubstr("[451, 48]"));
  EXPECT_THAT(shapes, HasSubstr("[456, 48]"));
  EXPECT_THAT(error_of(make(base, golden_model("llava-v1.5-lora-rslora")), 2, "invalid_argument"),
              HasSubstr("merge-lora"));
  expect_nothing_left("delta");
  const fs::path copied = copy("llava-7b-legacy");
  EXPECT_THAT(error_of(run_llava({"make-delta", "--base-model-path", base, "--target-model-path",
                                  copied.string(), "--delta-path", copied.string(), "--json"}),
                       2, "invalid_argument"),
              HasSubstr("is --target-model-path"));
  EXPECT_EQ(run_llava({"make-delta", "--base-model-path", base, "--target-model-path", legacy,
                       "--delta-path", path("delta"), "--hub-repo-id", "a/b"})
                .status,
            2);
}

TEST_F(Conversion, ConsolidatedFoldersAreTheOriginals) {
  for (const auto& [model, description] : expected().at("consolidate").items()) {
    SCOPED_TRACE(model);
    json_of(run_llava(
        {"consolidate", "--src", golden_model(model), "--dst", path("llava-out"), "--json"}));
    expect_written(folder_ / "llava-out", description);
    fs::remove_all(folder_ / "llava-out");
  }
}

TEST_F(Conversion, ConsolidatingKeepsWhatIsAskedFor) {
  json_of(run_llava({"consolidate", "--src", golden_model("hf-llava"), "--dst", path("llava-out"),
                     "--dtype", "auto", "--json"}));
  EXPECT_EQ(checkpoint::base_weights_sha256(folder_ / "llava-out"),
            checkpoint::base_weights_sha256(golden_model("hf-llava")));
  const Strings question = {"--model-path", path("llava-out")};
  EXPECT_EQ(ask(question).at("generated_ids"),
            ask({"--model-path", golden_model("hf-llava")}).at("generated_ids"));
  EXPECT_THAT(error_of(run_llava({"consolidate", "--src", golden_model("hf-llava"), "--dst",
                                  path("llava-out"), "--json"}),
                       2, "invalid_argument"),
              HasSubstr("not empty"));
  EXPECT_THAT(error_of(run_llava({"consolidate", "--src", path("llava-out"), "--dst",
                                  path("llava-out"), "--json"}),
                       2, "invalid_argument"),
              HasSubstr("is --src"));
  EXPECT_THAT(error_of(run_llava({"consolidate", "--src", golden_model("base-gguf.gguf"), "--dst",
                                  path("x"), "--json"}),
                       3, "unsupported"),
              HasSubstr("single file"));
}

TEST_F(Conversion, AFirstYearsConfigurationIsUpgradedInTheCopy) {
  const fs::path model = copy("llava-7b-legacy");
  substitute(model / "config.json", "\"model_type\": \"llava\"", "\"model_type\": \"llama\"");
  substitute(model / "config.json", "LlavaLlamaForCausalLM", "LlamaForCausalLM");
  json_of(run_llava({"consolidate", "--src", model.string(), "--dst", path("out"), "--json"}));
  const Json config = read_json_file(folder_ / "out" / "config.json");
  EXPECT_EQ(config.at("model_type"), "llava_llama");
  EXPECT_EQ(config.at("architectures")[0], "LlavaLlamaForCausalLM");
  EXPECT_EQ(read_json_file(model / "config.json").at("model_type"), "llama");
}

TEST_F(Conversion, ProjectorsAreExtractedInBothForms) {
  struct Case {
    const char* model;
    std::size_t count;
  };
  for (const Case& c : {Case{"llava-v1.5-pad", 4}, Case{"llava-7b-legacy", 2}, Case{"hf-llava", 4},
                        Case{"llava-v1.5-lora-rslora", 4}}) {
    SCOPED_TRACE(c.model);
    const Json report =
        json_of(run_llava({"extract-projector", "--model_name_or_path", golden_model(c.model),
                           "--output", path("projector.bin"), "--json"}));
    EXPECT_EQ(report.at("files"), Json({path("projector.bin"), path("projector.safetensors")}));
    const auto torch = checkpoint::open_tensor_file(folder_ / "projector.bin");
    const auto twin = checkpoint::open_tensor_file(folder_ / "projector.safetensors");
    EXPECT_EQ(torch->tensors().size(), c.count);
    for (const auto& [name, info] : torch->tensors()) {
      EXPECT_THAT(name, ::testing::StartsWith("model.mm_projector."));
      EXPECT_TRUE(std::ranges::equal(torch->load(name).bytes(), twin->load(name).bytes()));
    }
  }
}

TEST_F(Conversion, AnExtractedProjectorAnswersOverItsBase) {
  const fs::path projector = copy("llava-projector-mlp2x");
  fs::create_directories(folder_ / "again");
  fs::copy(projector / "config.json", folder_ / "again" / "config.json");
  json_of(run_llava(Strings{"merge-lora", "--model-path", projector.string(), "--model-base",
                            golden_model("base-vicuna"), "--save-model-path", path("llava-whole"),
                            "--json"} +
                    tower()));
  json_of(run_llava({"extract-projector", "--model-path", path("llava-whole"), "--output",
                     path("again"), "--json"}));
  const Strings flags =
      Strings{"--model-base", golden_model("base-vicuna"), "--conv-mode", "llava_v1"} + tower();
  EXPECT_EQ(ask(Strings{"--model-path", path("again")} + flags).at("generated_ids"),
            ask(Strings{"--model-path", projector.string()} + flags).at("generated_ids"));
}

TEST_F(Conversion, ProjectorsThatAreNotThere) {
  const auto extract = [&](const Strings& flags) {
    return run_llava(Strings{"extract-projector", "--json"} + flags);
  };
  EXPECT_THAT(
      error_of(extract({"--model-path", golden_model("base-vicuna"), "--output", path("p.bin")}), 3,
               "not_found"),
      HasSubstr("has no projector"));
  EXPECT_THAT(error_of(extract({"--model-path", path("absent"), "--output", path("p.bin")}), 3,
                       "not_found"),
              HasSubstr("--model-path"));
  EXPECT_THAT(error_of(extract({"--output", path("p.bin")}), 2, "invalid_argument"),
              HasSubstr("found neither"));
  EXPECT_THAT(error_of(extract({"--model-path", golden_model("llava-v1.5-pad"), "--output",
                                path("absent/p.bin")}),
                       3, "not_found"),
              HasSubstr("cannot create"));
  EXPECT_FALSE(fs::exists(folder_ / "p.bin"));
}

// A limit on the size of files, which the program inherits, is a disk that is full.
TEST_F(Conversion, AFullDiskLeavesNothingBehind) {
  const std::string base = golden_model("base-vicuna");
  write("mm_projector.bin", "old projector");
  const std::vector<Strings> commands{
      merge("llava-v1.5-lora-rslora", "base-vicuna", "llava-x", tower()),
      {"consolidate", "--src", golden_model("llava-v1.5-pad"), "--dst", path("llava-x"), "--json"},
      {"make-delta", "--base-model-path", base, "--target-model-path",
       golden_model("llava-7b-legacy"), "--delta-path", path("llava-x"), "--json"},
      {"apply-delta", "--base-model-path", base, "--delta-path", golden_model("llava-7b-legacy"),
       "--target-model-path", path("llava-x"), "--json"},
      {"extract-projector", "--model-path", golden_model("llava-v1.5-pad"), "--output",
       path("mm_projector.bin"), "--json"}};
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const Strings& command : commands) {
    SCOPED_TRACE(command[0]);
    const rlimit tight{.rlim_cur = command[0] == "extract-projector" ? 4096u : 65536u,
                       .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
    const ProcessResult result = run_llava(command);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_THAT(error_of(result, 4, "resource_exhausted"), HasSubstr("cannot write"));
    expect_nothing_left("llava-x");
  }
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_text(folder_ / "mm_projector.bin"), "old projector");
  EXPECT_FALSE(fs::exists(folder_ / "mm_projector.safetensors"));
}

}  // namespace
}  // namespace llava::testing
