// SPDX-License-Identifier: Apache-2.0
//
// `llava inspect` on every layout: what it says a checkpoint is, against its files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "checkpoint_copy.h"
#include "program.h"

namespace llava::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using Strings = std::vector<std::string>;

class Inspect : public CheckpointCopy {
 protected:
  static Strings arguments(const std::string& model, const std::string& base = {}) {
    Strings result{"inspect", "--model-path", model};
    if (!base.empty()) result = std::move(result) + Strings{"--model-base", base};
    return result;
  }

  static Json facts(const std::string& model, const std::string& base = {}) {
    return json_of(run_llava(arguments(model, base) + Strings{"--json"}));
  }

  static Strings problems(const Json& facts) { return facts.at("problems").get<Strings>(); }
};

int64_t count_of(const Json& shape) {
  int64_t count = 1;
  for (const Json& size : shape) count *= size.get<int64_t>();
  return count;
}

int64_t size_of_type(std::string name) {
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name == "f32" || name == "float32" ? 4 : 2;
}

struct Layout {
  const char* model;
  const char* base;
  const char* layout;
  const char* architecture;
  const char* family;
  const char* conv_mode;
  const char* projector;
  int tower_pixels;
};

constexpr Layout kLayouts[] = {
    {"hf-llava", "", "hugging_face", "LlavaForConditionalGeneration", "llama", "chat_template",
     "mlp2x_gelu", 28},
    {"hf-llava-tied", "", "hugging_face", "LlavaForConditionalGeneration", "llama", "chat_template",
     "mlp2x_gelu", 28},
    {"hf-next-mistral", "", "hugging_face", "LlavaNextForConditionalGeneration", "mistral",
     "chat_template", "mlp2x_gelu", 28},
    {"hf-qwen2", "", "hugging_face", "LlavaForConditionalGeneration", "qwen2", "chat_template",
     "mlp2x_gelu", 28},
    {"hf5-next-llama3", "", "hugging_face", "LlavaNextForConditionalGeneration", "llama",
     "chat_template", "mlp2x_gelu", 28},
    {"llava-v1.5-pad", "", "original", "LlavaLlamaForCausalLM", "llama", "llava_v1", "mlp2x_gelu",
     28},
    {"llava-v1.5-identity", "", "original", "LlavaLlamaForCausalLM", "llama", "llava_v1",
     "identity", 42},
    {"llava-7b-legacy", "", "original", "LlavaLlamaForCausalLM", "llama", "llava_v0", "linear", 42},
    {"llava-v1.6-mistral", "", "original", "LlavaMistralForCausalLM", "mistral", "mistral_instruct",
     "mlp2x_gelu", 28},
    {"llava-v1.5-lora-rslora", "base-vicuna", "lora", "LlavaLlamaForCausalLM", "llama", "llava_v1",
     "mlp2x_gelu", 28},
    {"llava-projector-mlp2x", "base-vicuna", "projector_only", "LlamaForCausalLM", "llama",
     "llava_v0", "mlp2x_gelu", 28},
    {"llava-projector-gguf-k", "base-gguf-k.gguf", "projector_only", "LlavaLlamaForCausalLM",
     "llama", "llava_v0", "mlp2x_gelu", 28},
    {"base-vicuna", "", "language_model", "LlamaForCausalLM", "llama", "vicuna_v1", "", 0},
    {"base-gguf.gguf", "", "language_model", "gguf", "llama", "vicuna_v1", "", 0},
};

TEST_F(Inspect, EveryLayoutIsRecognised) {
  for (const Layout& c : kLayouts) {
    SCOPED_TRACE(c.model);
    const std::string base = *c.base == '\0' ? "" : golden_model(c.base);
    const Json found = facts(golden_model(c.model), base);
    EXPECT_EQ(found.at("path"), golden_model(c.model));
    EXPECT_EQ(found.at("layout"), c.layout);
    EXPECT_EQ(found.at("architecture"), c.architecture);
    EXPECT_EQ(found.at("decoder").at("family"), c.family);
    EXPECT_EQ(found.at("conv_mode"), c.conv_mode);
    EXPECT_THAT(problems(found), IsEmpty());
    if (c.tower_pixels == 0) {
      EXPECT_TRUE(found.at("vision").is_null());
      EXPECT_TRUE(found.at("projector").is_null());
      continue;
    }
    EXPECT_EQ(found.at("vision").at("image_size"), c.tower_pixels);
    EXPECT_EQ(found.at("projector").at("type"), c.projector);
    EXPECT_EQ(found.at("projector").at("out_features"), found.at("decoder").at("hidden_size"));
  }
}

// The numbers against the tensors listed, and those against the files. The blocks of a GGUF file
// are widened, so that every tensor has whole elements.
TEST_F(Inspect, BytesAndMemoryAddUp) {
  for (const Layout& c : kLayouts) {
    SCOPED_TRACE(c.model);
    const std::string base = *c.base == '\0' ? "" : golden_model(c.base);
    const bool has_gguf = (std::string(c.model) + c.base).find("gguf") != std::string::npos;
    const Json found =
        json_of(run_llava(arguments(golden_model(c.model), base) + Strings{"--json"} +
                          (has_gguf ? Strings{"--dtype", "float32"} : Strings{})));
    const Json& memory = found.at("memory");
    const int64_t own = size_of_type(memory.at("dtype").get<std::string>());
    const int64_t visual = size_of_type(memory.at("vision_dtype").get<std::string>());
    std::map<std::string, int64_t> bytes_of_file;
    int64_t stored = 0, loaded = 0;
    for (const Json& tensor : found.at("tensors")) {
      const auto name = tensor.at("name").get<std::string>();
      stored += tensor.at("bytes").get<int64_t>();
      bytes_of_file[tensor.at("file").get<std::string>()] += tensor.at("bytes").get<int64_t>();
      loaded +=
          count_of(tensor.at("shape")) * (name.starts_with("model.vision_tower.") ? visual : own);
    }
    EXPECT_EQ(found.at("bytes"), stored);
    EXPECT_EQ(memory.at("weights"), loaded);
    for (const auto& [file, bytes] : bytes_of_file) {
      const auto size = static_cast<int64_t>(fs::file_size(file));
      EXPECT_LE(bytes, size) << file;
      if (fs::path(file).extension() == ".safetensors") {
        const auto data = static_cast<int64_t>(SafetensorsParts::of(read_text(file)).data.size());
        EXPECT_EQ(bytes, data) << file;
      }
    }
    int64_t parts = 0;
    for (const char* part : {"decoder", "projector", "vision", "adapters"}) {
      parts += memory.at(part).get<int64_t>();
    }
    EXPECT_EQ(memory.at("weights"), parts);
    const Json& decoder = found.at("decoder");
    EXPECT_EQ(memory.at("kv_per_token"), 2 * decoder.at("num_hidden_layers").get<int64_t>() *
                                             decoder.at("num_key_value_heads").get<int64_t>() *
                                             decoder.at("head_dim").get<int64_t>() * own);
    EXPECT_GT(memory.at("available"), 0);
  }
}

TEST_F(Inspect, FormsOfTheWeightsAreCounted) {
  const auto forms = [](const std::string& model, const Strings& flags) {
    const Json memory =
        json_of(run_llava(arguments(golden_model(model)) + Strings{"--json"} + flags)).at("memory");
    int64_t total = 0;
    for (const Json& bytes : memory.at("forms")) total += bytes.get<int64_t>();
    EXPECT_EQ(total, memory.at("weights"));
    EXPECT_LT(memory.at("weights"), 2'000'000);
    return memory.at("forms");
  };
  // Blocks stay blocks unless they are to be widened.
  EXPECT_TRUE(forms("base-gguf-k.gguf", {}).contains("q4_min"));
  EXPECT_EQ(forms("base-gguf-k.gguf", {"--dtype", "float32"}).size(), 1u);
  const Json plain = forms("llava-v1.5-pad", {});
  EXPECT_EQ(plain.size(), 2u);  // the tower, from its own folder, has float32
  // The table of this model, whose head is not tied, stays in float16.
  const Json four = forms("llava-v1.5-pad", {"--load-4bit"});
  for (const char* form : {"q4", "q8", "float16", "float32"}) EXPECT_TRUE(four.contains(form));
  EXPECT_LT(four.at("float16"), plain.at("float16"));
  const auto kv_dtype = [](const Strings& flags) {
    return json_of(
               run_llava(arguments(golden_model("base-gguf-k.gguf")) + Strings{"--json"} + flags))
        .at("memory")
        .at("kv_dtype");
  };
  EXPECT_EQ(kv_dtype({}), "float16");
  EXPECT_EQ(kv_dtype({"--dtype", "float32"}), "float32");
  const Json eight = forms("llava-v1.5-pad", {"--load-8bit", "--load-4bit"});
  EXPECT_FALSE(eight.contains("q4"));
  EXPECT_GT(eight.at("q8"), four.at("q8"));
}

TEST_F(Inspect, DtypesAskedForAreThoseCounted) {
  const Strings ask = arguments(golden_model("llava-v1.5-pad")) + Strings{"--json"};
  const Json half = json_of(run_llava(ask)).at("memory");
  EXPECT_EQ(half.at("dtype"), "float16");
  const Json whole = json_of(run_llava(ask + Strings{"--dtype", "float32"})).at("memory");
  EXPECT_EQ(whole.at("decoder"), 2 * half.at("decoder").get<int64_t>());
  EXPECT_EQ(whole.at("kv_per_token"), 2 * half.at("kv_per_token").get<int64_t>());
  const Json lora = json_of(
      run_llava(arguments(golden_model("llava-v1.5-lora-rslora"), golden_model("base-vicuna")) +
                Strings{"--json", "--lora", "merged"}));
  EXPECT_EQ(lora.at("adapters"), 14);
  EXPECT_EQ(lora.at("memory").at("adapters"), 0);
}

TEST_F(Inspect, ValuesAreThoseOfTheConfiguration) {
  const Json config =
      parse_json(read_text(golden_model("llava-v1.5-pad") + "/config.json"), "config.json");
  const Json decoder = facts(golden_model("llava-v1.5-pad")).at("decoder");
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "num_key_value_heads", "max_position_embeddings",
                          "rms_norm_eps", "tie_word_embeddings"}) {
    EXPECT_EQ(decoder.at(key), config.at(key)) << key;
  }
  const Json llama3 = facts(golden_model("hf5-next-llama3")).at("decoder");
  EXPECT_EQ(llama3.at("rope_scaling"), "llama3");
  EXPECT_EQ(facts(golden_model("hf-next-mistral")).at("decoder").at("sliding_window"), 12);
  // That the head is tied is said by leaving it out of the file.
  EXPECT_EQ(facts(golden_model("base-gguf-k.gguf")).at("decoder").at("tie_word_embeddings"), true);
}

TEST_F(Inspect, TextSaysTheSame) {
  const Json found = facts(golden_model("llava-v1.5-pad"));
  const std::string text = run_llava(arguments(golden_model("llava-v1.5-pad"))).out;
  for (const char* key : {"layout", "architecture", "conv_mode"}) {
    EXPECT_THAT(text, HasSubstr(fmt::format("{}: {}\n", key, found.at(key).get<std::string>())));
  }
  EXPECT_THAT(text, HasSubstr(fmt::format(" {} bytes\n", found.at("memory").at("weights").dump())));
  EXPECT_THAT(text, HasSubstr(fmt::format("tensors: {} in ", found.at("tensors").size())));
  EXPECT_THAT(text, ::testing::EndsWith("problems: none\n"));
  EXPECT_THAT(text, Not(HasSubstr("lm_head.weight")));
  const std::string all =
      run_llava(arguments(golden_model("llava-v1.5-pad")) + Strings{"--tensors"}).out;
  EXPECT_THAT(all, HasSubstr("  lm_head.weight [448,48] F16\n"));
}

TEST_F(Inspect, WhatIsMissingIsListedTogether) {
  const fs::path model = copy("llava-v1.5-pad");
  fs::remove_all(folder_ / "towers");
  fs::remove(model / "tokenizer.model");
  fs::remove(model / "model-00002-of-00002.safetensors");
  const Strings found = problems(facts(model.string()));
  EXPECT_EQ(found.size(), 3u);
  EXPECT_THAT(found, AllOf(Contains(HasSubstr("vision tower 'towers/clip-28' was not found")),
                           Contains(HasSubstr("has no tokenizer.json or tokenizer.model")),
                           Contains(HasSubstr("model-00002-of-00002.safetensors"))));
  const ProcessResult text = run_llava(arguments(model.string()));
  EXPECT_EQ(text.status, 0);
  EXPECT_THAT(text.out, HasSubstr("problem: vision tower 'towers/clip-28' was not found"));
}

// One cause, one problem: nothing is said about the shapes of what cannot be known.
TEST_F(Inspect, AMissingTowerOrBaseIsOneProblem) {
  const fs::path model = copy("llava-v1.5-pad");
  fs::remove_all(folder_ / "towers");
  const Json without_tower = facts(model.string());
  EXPECT_THAT(problems(without_tower), ::testing::ElementsAre(HasSubstr("--vision-tower")));
  EXPECT_EQ(without_tower.at("vision").at("tower"), "towers/clip-28");
  EXPECT_EQ(without_tower.at("memory").at("vision"), 0);
  EXPECT_THAT(problems(facts(golden_model("llava-v1.5-lora-rslora"))),
              ::testing::ElementsAre(HasSubstr("--model-base")));
  substitute(model / "config.json", "\"intermediate_size\": 64", "\"intermediate_size\": 128");
  EXPECT_THAT(problems(facts(model.string())), Contains(HasSubstr("expected [128, 48]")));
}

}  // namespace
}  // namespace llava::testing
