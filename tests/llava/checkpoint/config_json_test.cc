// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/config_json.h"

#include <gtest/gtest.h>

#include "llava/checkpoint/expect_error.h"
#include "llava/core/json.h"

namespace llava::checkpoint {
namespace {

using llava::testing::expect_error;
using model::DecoderFamily;
using model::ProjectorType;
using model::RopeScaling;

CheckpointDescription read(std::string_view text, Layout layout) {
  return read_config(parse_json(text, "c.json"), "c.json", layout);
}

TEST(ConfigJson, EmptyTextConfigTakesTheDefaultsOfItsType) {
  const auto d = read(R"({"model_type":"llava","text_config":{"model_type":"mistral"}})",
                      Layout::kHuggingFace);
  const auto& c = d.config.decoder;
  EXPECT_EQ(c.family, DecoderFamily::kMistral);
  EXPECT_EQ(c.intermediate_size, 14336);
  EXPECT_EQ(c.num_key_value_heads, 8);
  EXPECT_EQ(c.max_position_embeddings, 131072);
  EXPECT_EQ(c.sliding_window, 4096);
  EXPECT_FLOAT_EQ(c.rms_norm_eps, 1e-6f);
  EXPECT_EQ(d.config.vision.image_size, 336);
  EXPECT_EQ(d.config.vision.num_hidden_layers, 24);
  EXPECT_EQ(d.bos_token_id, 1);
  EXPECT_EQ(d.eos_token_ids, std::vector<int32_t>{2});
  EXPECT_EQ(d.image_token_id, 32000);
}

}  // namespace
}  // namespace llava::checkpoint
