// SPDX-License-Identifier: Apache-2.0
//
// The config.json of a GGUF file says the same as the file.
#include <gtest/gtest.h>

#include "llava/checkpoint/config_json.h"
#include "llava/checkpoint/gguf_language_model.h"
#include "llava/core/error.h"
#include "llava/core/json.h"
#include "support/paths.h"

namespace llava::checkpoint {
namespace {

TEST(GgufConfigJsonTest, ReadsAsTheFileItself) {
  for (const char* name : {"llama.gguf", "llama3.gguf", "qwen2.gguf", "llama_blocks.gguf"}) {
    SCOPED_TRACE(name);
    const auto file = GgufFile::open(test_data() / "checkpoint/gguf" / name);
    const model::DecoderConfig expected = read_gguf_decoder_config(*file);
    Json json;
    try {
      json = gguf_config_json(*file);
    } catch (const Error& error) {
      // Files without a vocabulary are no language models by themselves.
      EXPECT_EQ(error.code(), ErrorCode::kNotFound) << error.what();
      continue;
    }
    const model::DecoderConfig found =
        read_config(json, name, Layout::kLanguageModel).config.decoder;
    EXPECT_EQ(found.family, expected.family);
    EXPECT_EQ(found.vocab_size, expected.vocab_size);
    EXPECT_EQ(found.hidden_size, expected.hidden_size);
    EXPECT_EQ(found.intermediate_size, expected.intermediate_size);
    EXPECT_EQ(found.num_hidden_layers, expected.num_hidden_layers);
    EXPECT_EQ(found.num_attention_heads, expected.num_attention_heads);
    EXPECT_EQ(found.num_key_value_heads, expected.num_key_value_heads);
    EXPECT_EQ(found.head_dim, expected.head_dim);
    EXPECT_EQ(found.max_position_embeddings, expected.max_position_embeddings);
    EXPECT_EQ(found.rms_norm_eps, expected.rms_norm_eps);
    EXPECT_EQ(found.rope.theta, expected.rope.theta);
    EXPECT_EQ(found.rope.scaling, expected.rope.scaling);
    EXPECT_EQ(found.rope.factor, expected.rope.factor);
    EXPECT_EQ(found.rope.original_max_position_embeddings,
              expected.rope.original_max_position_embeddings);
    EXPECT_EQ(found.has_qkv_bias, expected.has_qkv_bias);
    EXPECT_EQ(found.has_output_bias, expected.has_output_bias);
    EXPECT_EQ(found.is_head_tied, expected.is_head_tied);
    EXPECT_EQ(found.sliding_window, expected.sliding_window);
  }
}

}  // namespace
}  // namespace llava::checkpoint
