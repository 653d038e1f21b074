// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/weights_hash.h"

#include <gtest/gtest.h>

#include "llava/checkpoint/expect_error.h"
#include "llava/checkpoint/safetensors.h"
#include "llava/checkpoint/sharded_writer.h"
#include "llava/checkpoint/torch_zip_writer.h"
#include "llava/core/hash.h"
#include "support/temporary_folder.h"

namespace llava::checkpoint {
namespace {

using llava::testing::expect_error;
using Tensors = std::vector<std::pair<std::string, Tensor>>;

class WeightsHash : public testing::TemporaryFolder {
 protected:
  std::filesystem::path folder(const std::string& name) const {
    std::filesystem::create_directories(folder_ / name);
    return folder_ / name;
  }
};

Tensor floats(Shape shape, std::vector<float> values) {
  return Tensor::from_floats(std::move(shape), values);
}

Tensors weights() {
  return {{"model.embed_tokens.weight", floats({2, 2}, {1, 2, 3, 4})},
          {"model.norm.weight", host_cast(floats({2}, {1, -1}), DType::kBFloat16)},
          {"lm_head.weight", floats({2, 2}, {5, 6, 7, 8})}};
}

std::string hex_of(std::string_view text) { return to_hex(sha256(std::as_bytes(std::span(text)))); }

// The definition of docs/checkpoints.md, written down once more.
TEST_F(WeightsHash, IsTheDocumentedText) {
  const auto base = folder("base");
  write_sharded_weights(base, weights_to_write(weights()));
  std::string text;
  for (const char* name : {"lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"}) {
    for (const auto& [key, tensor] : weights()) {
      if (key != name) continue;
      text += key + "\n" + (key == "model.norm.weight" ? "bfloat16\n[2]\n" : "float32\n[2, 2]\n") +
              to_hex(sha256(tensor.bytes())) + "\n";
    }
  }
  EXPECT_EQ(base_weights_sha256(base), hex_of(text));
}

TEST_F(WeightsHash, FilesAndThreadsDoNotMatter) {
  write_sharded_weights(folder("one"), weights_to_write(weights()));
  write_sharded_weights(folder("shards"), weights_to_write(weights()),
                        {.max_shard_bytes = 10, .on_progress = {}});
  // Another container, other names for the same, and a buffer that nobody reads.
  Tensors renamed;
  for (const auto& [name, tensor] : weights()) {
    renamed.emplace_back("language_model." + name, tensor);
  }
  renamed.emplace_back("language_model.model.layers.0.self_attn.rotary_emb.inv_freq",
                       floats({1}, {9}));
  write_torch_zip(folder("torch") / "pytorch_model.bin", renamed);
  const std::string expected = base_weights_sha256(folder_ / "one");
  EXPECT_EQ(expected.size(), 64u);
  ThreadPool pool(3);
  uint64_t last = 0;
  for (const char* name : {"shards", "torch"}) {
    EXPECT_EQ(base_weights_sha256(folder_ / name), expected) << name;
    EXPECT_EQ(
        base_weights_sha256(folder_ / name, &pool, [&](uint64_t done, uint64_t) { last = done; }),
        expected)
        << name;
    EXPECT_GT(last, 0u);
  }
}

TEST_F(WeightsHash, ATiedHeadMayBeThereOrNot) {
  Tensors tied = weights();
  tied.pop_back();
  write_safetensors(folder("without") / "model.safetensors", tied);
  tied.emplace_back("lm_head.weight", floats({2, 2}, {1, 2, 3, 4}));
  write_safetensors(folder("with") / "model.safetensors", tied);
  EXPECT_EQ(base_weights_sha256(folder_ / "with"), base_weights_sha256(folder_ / "without"));
}

TEST_F(WeightsHash, EverythingElseMatters) {
  write_safetensors(folder("a") / "model.safetensors", weights());
  const std::string before = base_weights_sha256(folder_ / "a");
  const std::vector<std::function<void(Tensors&)>> changes{
      [](Tensors& t) {
        t[0].second = floats({2, 2}, {1, 2, 3, 4.0001f});
      },
      [](Tensors& t) {
        t[0].second = floats({4}, {1, 2, 3, 4});
      },
      [](Tensors& t) { t[1].second = host_cast(t[1].second, DType::kFloat16); },
      [](Tensors& t) { t[1].first = "model.layers.0.input_layernorm.weight"; },
      [](Tensors& t) { t.pop_back(); }};
  for (const auto& change : changes) {
    Tensors changed = weights();
    change(changed);
    write_safetensors(folder_ / "a" / "model.safetensors", changed);
    EXPECT_NE(base_weights_sha256(folder_ / "a"), before);
  }
}

TEST_F(WeightsHash, IsFoundInTheAdapter) {
  const std::string hash(64, 'b');
  const auto file = [&](const std::map<std::string, std::string>& metadata) {
    write_safetensors(folder_ / "adapter_model.safetensors", weights(), metadata);
  };
  write("adapter_config.json", R"({"r": 2})");
  file({});
  EXPECT_EQ(expected_base_sha256(folder_), "");
  file({{"base_weights_sha256", hash}});
  EXPECT_EQ(expected_base_sha256(folder_), hash);
  write("adapter_config.json", R"({"r": 2, "base_weights_sha256": ")" + hash + "\"}");
  EXPECT_EQ(expected_base_sha256(folder_), hash);
  file({{"base_weights_sha256", std::string(64, 'c')}});
  expect_error(ErrorCode::kBadFormat, {"same adapter", hash, std::string(64, 'c')},
               [&] { expected_base_sha256(folder_); });
  file({{"base_weights_sha256", "short"}});
  expect_error(ErrorCode::kBadFormat, {"adapter_model.safetensors", "'short'", "64"},
               [&] { expected_base_sha256(folder_); });
}

}  // namespace
}  // namespace llava::checkpoint
