// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/config_json.h"

#include <gtest/gtest.h>

#include <fstream>

#include "llava/checkpoint/expect_error.h"
#include "llava/core/json.h"
#include "support/paths.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using llava::testing::expect_error;
using model::DecoderConfig;
using model::DecoderFamily;
using model::ProjectorType;
using model::RopeScaling;

CheckpointDescription read(std::string_view text, Layout layout) {
  const Json json = parse_json(text, "c.json");
  return read_config(json, "c.json", layout);
}

std::string_view family_name(DecoderFamily family) {
  return family == DecoderFamily::kLlama     ? "llama"
         : family == DecoderFamily::kMistral ? "mistral"
                                             : "qwen2";
}

void expect_rope(const model::RopeConfig& rope, const Json& expected) {
  if (expected.is_null()) {
    EXPECT_EQ(rope.scaling, RopeScaling::kNone);
    return;
  }
  const std::string type = expected["rope_type"];
  EXPECT_EQ(rope.scaling, type == "linear"    ? RopeScaling::kLinear
                          : type == "dynamic" ? RopeScaling::kDynamic
                                              : RopeScaling::kLlama3);
  EXPECT_EQ(rope.factor, expected["factor"].get<double>());
  if (type == "llama3") {
    EXPECT_EQ(rope.low_freq_factor, expected["low_freq_factor"].get<double>());
    EXPECT_EQ(rope.high_freq_factor, expected["high_freq_factor"].get<double>());
    EXPECT_EQ(rope.original_max_position_embeddings,
              expected["original_max_position_embeddings"].get<int32_t>());
  }
}

void expect_decoder(const DecoderConfig& c, const Json& expected) {
  EXPECT_EQ(family_name(c.family), expected["family"].get<std::string>());
  const std::vector<std::pair<const char*, int32_t>> numbers = {
      {"vocab_size", c.vocab_size},
      {"hidden_size", c.hidden_size},
      {"intermediate_size", c.intermediate_size},
      {"num_hidden_layers", c.num_hidden_layers},
      {"num_attention_heads", c.num_attention_heads},
      {"num_key_value_heads", c.num_key_value_heads},
      {"head_dim", c.head_dim},
      {"max_position_embeddings", c.max_position_embeddings},
      {"sliding_window", c.sliding_window}};
  for (const auto& [key, found] : numbers) EXPECT_EQ(found, expected[key].get<int32_t>()) << key;
  EXPECT_EQ(c.rms_norm_eps, static_cast<float>(expected["rms_norm_eps"].get<double>()));
  EXPECT_EQ(c.rope.theta, expected["rope_theta"].get<double>());
  EXPECT_EQ(c.has_qkv_bias, expected["has_qkv_bias"].get<bool>());
  EXPECT_EQ(c.is_head_tied, expected["is_head_tied"].get<bool>());
  expect_rope(c.rope, expected["rope_scaling"]);
}

void expect_ids(const CheckpointDescription& d, const Json& expected) {
  const Json& eos = expected["eos"];
  std::vector<int32_t> ids;
  if (eos.is_array()) ids = eos.get<std::vector<int32_t>>();
  if (eos.is_number()) ids = {eos.get<int32_t>()};
  EXPECT_EQ(d.eos_token_ids, ids);
  EXPECT_EQ(d.bos_token_id.value_or(-1),
            expected["bos"].is_null() ? -1 : expected["bos"].get<int>());
}

void expect_hugging_face(const CheckpointDescription& d, const Json& expected) {
  const auto& v = d.config.vision;
  const std::vector<std::pair<const char*, int32_t>> numbers = {
      {"hidden_size", v.hidden_size},
      {"intermediate_size", v.intermediate_size},
      {"num_hidden_layers", v.num_hidden_layers},
      {"num_attention_heads", v.num_attention_heads},
      {"image_size", v.image_size},
      {"patch_size", v.patch_size}};
  for (const auto& [key, found] : numbers) {
    EXPECT_EQ(found, expected["vision"][key].get<int32_t>()) << key;
  }
  EXPECT_EQ(d.image_token_id, expected["image_token"].get<int32_t>());
  EXPECT_EQ(d.config.geometry.has_class_token, expected["strategy"] == "full");
  const Json& layer = expected["feature_layer"];
  EXPECT_EQ(d.config.vision_feature_layers, layer.is_array()
                                                ? layer.get<std::vector<int32_t>>()
                                                : std::vector<int32_t>{layer.get<int32_t>()});
  std::vector<image::ImageSize> sizes;
  if (expected["pinpoints"].is_array()) {
    for (const Json& pair : expected["pinpoints"]) sizes.push_back({pair[1], pair[0]});
  }
  EXPECT_EQ(d.config.geometry.pinpoints, sizes);
  EXPECT_EQ(d.config.has_image_newline, !sizes.empty());
}

TEST(ConfigJson, AgreesWithThePublishedConfigurationClasses) {
  const Json cases = read_json_file(test_data() / "checkpoint" / "configs.json");
  ASSERT_GE(cases.size(), 30u);
  for (const Json& one : cases) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const bool is_hugging_face = one["layout"] == "hugging_face";
    const auto d = read_config(one["config"], "c.json",
                               is_hugging_face ? Layout::kHuggingFace : Layout::kOriginal);
    expect_decoder(d.config.decoder, one["decoder"]);
    expect_ids(d, one["decoder"]);
    EXPECT_EQ(d.is_vision_known, is_hugging_face);
    if (is_hugging_face) expect_hugging_face(d, one);
  }
}

// A minimal original checkpoint, with `more` keys.
std::string original(const std::string& more) {
  return R"({"model_type":"llava_llama","mm_vision_tower":"openai/x","mm_vision_select_layer":-2,)"
         R"("mm_hidden_size":768)" +
         (more.empty() ? "" : "," + more) + "}";
}

TEST(ConfigJson, OriginalDefaults) {
  const auto d = read(original(""), Layout::kOriginal);
  EXPECT_TRUE(d.config.has_vision);
  EXPECT_EQ(d.config.projector.type, ProjectorType::kLinear);
  EXPECT_EQ(d.config.geometry.mode, image::AspectMode::kSquare);
  EXPECT_FALSE(d.config.geometry.merge.is_spatial);
  EXPECT_FALSE(d.config.geometry.has_class_token);
  EXPECT_TRUE(d.use_im_patch_token);
  EXPECT_FALSE(d.use_im_start_end);
  EXPECT_FALSE(d.has_tower_weights);
  EXPECT_EQ(d.padding_side, "right");
  EXPECT_EQ(d.tokenizer_model_max_length, std::nullopt);
  EXPECT_EQ(d.dtype, std::nullopt);

  const auto text_only = read(R"({"model_type":"llava_llama"})", Layout::kOriginal);
  EXPECT_FALSE(text_only.config.has_vision);
}

TEST(ConfigJson, NullMeansNotSet) {
  const auto d = read(original(R"("mm_projector_type":null,"image_aspect_ratio":null,
      "mm_use_im_patch_token":null,"rope_scaling":null,"head_dim":null,"num_key_value_heads":null,
      "pad_token_id":null,"torch_dtype":null,"s2":null)"),
                      Layout::kOriginal);
  EXPECT_EQ(d.config.projector.type, ProjectorType::kLinear);
  EXPECT_TRUE(d.use_im_patch_token);
  EXPECT_EQ(d.config.decoder.num_key_value_heads, 32);
  EXPECT_EQ(d.pad_token_id, std::nullopt);
}

TEST(ConfigJson, OriginalMultimodalKeys) {
  auto d = read(original(R"("mm_projector_type":"mlp3x_gelu","mm_use_im_start_end":true,
      "mm_vision_select_feature":"cls_patch","tune_mm_mlp_adapter":true,"conv_mode":"v1",
      "tokenizer_padding_side":"left","tokenizer_model_max_length":2048,"image_aspect_ratio":"pad",
      "max_sequence_length":4096,"torch_dtype":"bfloat16","eos_token_id":[2,7])"),
                Layout::kOriginal);
  EXPECT_EQ(d.config.projector.type, ProjectorType::kMlp);
  EXPECT_EQ(d.config.projector.mlp_depth, 3);
  EXPECT_TRUE(d.use_im_start_end);
  EXPECT_TRUE(d.tune_mm_mlp_adapter);
  EXPECT_TRUE(d.config.geometry.has_class_token);
  EXPECT_EQ(d.config.geometry.mode, image::AspectMode::kPad);
  EXPECT_EQ(d.conv_mode, "v1");
  EXPECT_EQ(d.padding_side, "left");
  EXPECT_EQ(d.tokenizer_model_max_length, 2048);
  EXPECT_EQ(d.max_sequence_length, 4096);
  EXPECT_EQ(d.dtype, DType::kBFloat16);
  EXPECT_EQ(d.eos_token_ids, (std::vector<int32_t>{2, 7}));
}

TEST(ConfigJson, PinpointsInEverySpelling) {
  const std::vector<image::ImageSize> expected = {{336, 672}, {672, 336}};
  for (const char* spelling : {"[[336,672],[672,336]]", R"j("[(336, 672), (672, 336)]")j",
                               R"("[[336,672],[672,336]]")", R"j("((336,672),(672,336),)")j"}) {
    SCOPED_TRACE(spelling);
    const auto d = read(original(R"("image_aspect_ratio":"anyres","image_grid_pinpoints":)" +
                                 std::string(spelling)),
                        Layout::kOriginal);
    EXPECT_EQ(d.config.geometry.mode, image::AspectMode::kAnyres);
    EXPECT_EQ(d.config.geometry.pinpoints, expected);
  }
  auto d =
      read(original(R"j("image_aspect_ratio":"anyres_max_9","mm_patch_merge_type":"spatial_unpad",
      "image_grid_pinpoints":"(1x1),...,(2x3)")j"),
           Layout::kOriginal);
  EXPECT_EQ(d.config.geometry.merge.max_views, 9);
  EXPECT_TRUE(d.config.has_image_newline);
  EXPECT_TRUE(d.config.geometry.pinpoints.empty());
  attach_vision(d, {});
  EXPECT_EQ(d.config.geometry.pinpoints,
            (std::vector<image::ImageSize>{
                {224, 224}, {224, 448}, {224, 672}, {448, 224}, {448, 448}, {448, 672}}));
  d = read(
      original(R"j("image_aspect_ratio":"anyres","image_grid_pinpoints":"(1x2),(2x1),(3x1)")j"),
      Layout::kOriginal);
  EXPECT_EQ(d.pinpoint_grids, (std::vector<image::ImageSize>{{1, 2}, {2, 1}, {3, 1}}));
  for (const char* wrong : {"[]", "[[1]]", "[[1,0]]", "[[1,\"a\"]]", "[[1,70000]]", "7", R"("")",
                            R"j("[(1,2)")j", R"("[(1,2)] x")", R"("x")", R"j("(1x1),...,(90x90)")j",
                            "[[1,18446744073709551615]]", R"j("[(99999999999,2)]")j"}) {
    SCOPED_TRACE(wrong);
    expect_error(ErrorCode::kBadFormat, {"c.json", "image_grid_pinpoints"}, [&] {
      read(
          original(R"("image_aspect_ratio":"anyres","image_grid_pinpoints":)" + std::string(wrong)),
          Layout::kOriginal);
    });
  }
}

TEST(ConfigJson, AttachVisionChecksTheWidth) {
  auto d = read(original(R"("image_aspect_ratio":"pad")"), Layout::kOriginal);
  attach_vision(d, {.image_size = 336, .patch_size = 14});
  EXPECT_TRUE(d.is_vision_known);
  EXPECT_EQ(d.config.geometry.tile_size, 336);
  EXPECT_EQ(d.config.geometry.patches_per_side, 24);
  expect_error(ErrorCode::kBadFormat, {"mm_hidden_size is 768", "1024"},
               [&] { attach_vision(d, {.hidden_size = 1024, .num_attention_heads = 16}); });
}

TEST(ConfigJson, AttachVisionChecksTheGeometry) {
  const std::string anyres = R"("image_aspect_ratio":"anyres","image_grid_pinpoints":[[336,672]],)"
                             R"("mm_patch_merge_type":"spatial_unpad")";
  auto d = read(original(anyres), Layout::kOriginal);
  expect_error(ErrorCode::kBadFormat, {"336x672", "224"}, [&] { attach_vision(d, {}); });
  d = read(original(anyres + R"(,"mm_vision_select_feature":"cls_patch")"), Layout::kOriginal);
  expect_error(ErrorCode::kUnsupported, {"cls_patch", "spatial"},
               [&] { attach_vision(d, {.image_size = 336, .patch_size = 14}); });
}

TEST(ConfigJson, LlavaOnQwen2DropsRopeScaling) {
  const char* text = R"({"model_type":"llava_qwen","rope_scaling":{"type":"linear","factor":2.0}})";
  EXPECT_EQ(read(text, Layout::kOriginal).config.decoder.rope.scaling, RopeScaling::kNone);
  const char* base = R"({"model_type":"qwen2","rope_scaling":{"type":"linear","factor":2.0}})";
  EXPECT_EQ(read(base, Layout::kLanguageModel).config.decoder.rope.scaling, RopeScaling::kLinear);
}

TEST(ConfigJson, RefusesWhatIsNotBuiltHere) {
  struct Case {
    Layout layout;
    std::string text;
    std::string word;
  };
  const Layout o = Layout::kOriginal;
  const Layout h = Layout::kHuggingFace;
  const std::vector<Case> cases = {
      {o, R"({"architectures":["LlavaMptForCausalLM"],"model_type":"llava_mpt"})", "llava_mpt"},
      {o, R"({"architectures":["LlavaMixtralForCausalLM"],"model_type":"llava_mixtral"})",
       "mixtral"},
      {o, R"({"architectures":["LlavaGemmaForCausalLM"],"model_type":"llava_gemma"})", "gemma"},
      {o, R"({"architectures":["LlavaQwenMoeForCausalLM"],"model_type":"llava_qwen_moe"})", "moe"},
      {o, R"({"architectures":["GPT2LMHeadModel"],"model_type":"gpt2"})", "gpt2"},
      {o, R"({"architectures":["LlavaOnevisionForConditionalGeneration"]})", "Onevision"},
      {o, original(R"("s2":true)"), "s2"},
      {o, original(R"("mm_projector_type":"resampler")"), "Unknown projector type: resampler"},
      {o, original(R"("mm_projector_type":"mlp0x_gelu")"), "mlp0x_gelu"},
      {o, original(R"("mm_projector_type":"mlp999999999999x_gelu")"), "Unknown projector type"},
      {o, original(R"("mm_vision_select_feature":"slicefour_patch")"), "Unexpected select feature"},
      {o, original(R"("image_aspect_ratio":"highres")"), "highres"},
      {o, original(R"("mm_patch_merge_type":"unires")"), "unires"},
      {o, original(R"("mm_patch_merge_type":"spatial_maxpool2x2")"), "maxpool"},
      {o, original(R"("hidden_act":"gelu")"), "hidden_act"},
      {o, original(R"("hidden_act":"mish")"), "mish"},
      {o, original(R"("mlp_bias":true)"), "mlp_bias"},
      {o, original(R"("rope_scaling":{"type":"yarn","factor":2.0})"), "yarn"},
      {o, original(R"("partial_rotary_factor":0.5)"), "partial_rotary_factor"},
      {o, original(R"("rope_parameters":{"full_attention":{"rope_theta":1}})"), "full_attention"},
      {h, R"({"text_config":{"model_type":"gemma"}})", "gemma"},
      {h, R"({"text_config":{"model_type":"mixtral"}})", "mixtral"},
      {h, R"({"vision_config":{"model_type":"siglip_vision_model"}})", "siglip_vision_model"},
      {h, R"({"vision_feature_select_strategy":"max"})", "max"},
      {h,
       R"({"text_config":{"model_type":"qwen2","use_sliding_window":true,"max_window_layers":8}})",
       "max_window_layers"},
      {h, R"({"text_config":{"model_type":"mistral",
              "layer_types":["full_attention","sliding_attention"]}})",
       "layer_types"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    expect_error(ErrorCode::kUnsupported, {"c.json", c.word}, [&] { read(c.text, c.layout); });
  }
}

TEST(ConfigJson, NamesTheKeyOfAWrongValue) {
  for (const auto& [text, key] : std::vector<std::pair<std::string, std::string>>{
           {R"("hidden_size":"big")", "hidden_size"},
           {R"("hidden_size":-1)", "hidden_size"},
           {R"("hidden_size":99999999999999)", "hidden_size"},
           {R"("vocab_size":1.5)", "vocab_size"},
           {R"("rms_norm_eps":0)", "rms_norm_eps"},
           {R"("rope_theta":-2)", "rope_theta"},
           {R"("rope_scaling":7)", "rope_scaling"},
           {R"("rope_scaling":{"type":"linear"})", "factor"},
           {R"("rope_scaling":{"type":"linear","factor":0.5})", "factor"},
           {R"("rope_scaling":{"rope_type":"llama3","factor":8})", "low_freq_factor"},
           {R"("mm_vision_select_layer":"x")", "mm_vision_select_layer"},
           {R"("mm_vision_select_layer":[])", "mm_vision_select_layer"},
           {R"("eos_token_id":"</s>")", "eos_token_id"},
           {R"("eos_token_id":[-3])", "eos_token_id"},
           {R"("tokenizer_padding_side":"up")", "tokenizer_padding_side"},
           {R"("image_aspect_ratio":"anyres")", "image_grid_pinpoints"},
           {R"j("image_aspect_ratio":"anyres_max_0","image_grid_pinpoints":"(1x1)")j",
            "image_aspect_ratio"},
           {R"("architectures":"Llava")", "architectures"},
           {R"("mm_vision_tower":7)", "mm_vision_tower"}}) {
    SCOPED_TRACE(text);
    std::string json = "{" + text + "}";
    if (text.find("mm_vision_tower") == std::string::npos) {
      json = text.find("select_layer") == std::string::npos
                 ? original(text)
                 : R"({"model_type":"llava_llama","mm_vision_tower":"x",)" + text + "}";
    } else {
      json = R"({"model_type":"llava_llama",)" + text + "}";
    }
    expect_error(ErrorCode::kBadFormat, {"c.json", key}, [&] { read(json, Layout::kOriginal); });
  }
  expect_error(ErrorCode::kBadFormat, {"c.json", "num_key_value_heads"}, [&] {
    read(R"({"model_type":"llama","num_attention_heads":32,"num_key_value_heads":5})",
         Layout::kLanguageModel);
  });
}

class DetectLayout : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void write(const std::string& name, std::string_view text) const {
    std::ofstream(folder_ / name) << text;
  }
  fs::path folder_;
};

TEST_F(DetectLayout, FollowsTheFilesAndTheConfig) {
  expect_error(ErrorCode::kNotFound, {"no config.json"}, [&] { detect_layout(folder_); });
  expect_error(ErrorCode::kNotFound, {"does not exist"}, [&] { detect_layout(folder_ / "x"); });
  write("config.json", R"({"model_type":"llama","architectures":["LlamaForCausalLM"]})");
  expect_error(ErrorCode::kNotFound, {"is not a folder"},
               [&] { detect_layout(folder_ / "config.json"); });
  EXPECT_EQ(detect_layout(folder_), Layout::kLanguageModel);
  write("config.json", R"({"architectures":["LlamaForCausalLM"],"mm_vision_tower":"x"})");
  EXPECT_EQ(detect_layout(folder_), Layout::kOriginal);
  write("config.json", R"({"model_type":"llava"})");
  EXPECT_EQ(detect_layout(folder_), Layout::kOriginal);
  write("config.json", R"({"model_type":"llava","text_config":{}})");
  EXPECT_EQ(detect_layout(folder_), Layout::kHuggingFace);
  write("config.json", R"({"model_type":"llava_next"})");
  EXPECT_EQ(detect_layout(folder_), Layout::kHuggingFace);
  write("config.json", R"({"model_type":"llava_llama","mm_vision_tower":"x"})");
  write("mm_projector.bin", "x");
  EXPECT_EQ(detect_layout(folder_), Layout::kProjectorOnly);
  write("pytorch_model.bin", "x");
  EXPECT_EQ(detect_layout(folder_), Layout::kOriginal);
  write("adapter_config.json", "{}");
  EXPECT_EQ(detect_layout(folder_), Layout::kLora);
  EXPECT_EQ(layout_name(Layout::kLora), "lora");
}

TEST_F(DetectLayout, ReadsTheProcessorsPadding) {
  write("config.json", R"({"model_type":"llava","text_config":{}})");
  EXPECT_EQ(read_config(folder_).config.geometry.mode, image::AspectMode::kSquare);
  write("processor_config.json",
        R"({"image_processor":{"image_processor_type":"LlavaImageProcessorFast","do_pad":true}})");
  EXPECT_EQ(read_config(folder_).config.geometry.mode, image::AspectMode::kPad);
  write("preprocessor_config.json",
        R"({"image_processor_type":"CLIPImageProcessor","do_pad":true})");
  EXPECT_EQ(read_config(folder_).config.geometry.mode, image::AspectMode::kSquare);
}

TEST_F(DetectLayout, TowerConfigs) {
  write("config.json",
        R"({"model_type":"clip","vision_config":{"hidden_size":48,"num_attention_heads":3}})");
  EXPECT_EQ(read_tower_config(folder_).hidden_size, 48);
  EXPECT_EQ(read_tower_config(folder_).patch_size, 32);
  write("config.json", R"({"model_type":"clip_vision_model","image_size":336,"patch_size":14})");
  EXPECT_EQ(read_tower_config(folder_).image_size, 336);
  write("config.json", R"({"model_type":"siglip","vision_config":{}})");
  expect_error(ErrorCode::kUnsupported, {"siglip"}, [&] { read_tower_config(folder_); });
  write("config.json", R"({"model_type":"siglip_vision_model"})");
  expect_error(ErrorCode::kUnsupported, {"siglip_vision_model"},
               [&] { read_tower_config(folder_); });
}

}  // namespace
}  // namespace llava::checkpoint
