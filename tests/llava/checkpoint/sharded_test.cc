// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/sharded.h"

#include <gtest/gtest.h>

#include "llava/checkpoint/expect_error.h"
#include "llava/checkpoint/safetensors.h"
#include "support/temporary_folder.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using llava::testing::expect_error;

class Sharded : public llava::testing::TemporaryFolder {
 protected:
  void shard(const std::string& file, const std::vector<std::string>& names) const {
    std::vector<std::pair<std::string, Tensor>> tensors;
    for (const std::string& name : names) {
      const auto value = static_cast<float>(name.size());
      tensors.emplace_back(name, Tensor::from_floats({1}, std::vector<float>{value}));
    }
    write_safetensors(folder_ / file, tensors);
  }
  void index(std::string_view map) const {
    write("model.safetensors.index.json", fmt::format(R"({{"weight_map":{}}})", map));
  }
};

TEST_F(Sharded, UnitesTheShardsOfAnIndex) {
  shard("model-1.safetensors", {"a", "bb"});
  shard("model-2.safetensors", {"ccc"});
  index(R"({"a":"model-1.safetensors","bb":"model-1.safetensors","ccc":"model-2.safetensors"})");
  const auto source = open_weights(folder_);
  ASSERT_EQ(source->tensors().size(), 3u);
  EXPECT_EQ(source->load("ccc").data<float>()[0], 3.0f);
  EXPECT_EQ(source->tensors().at("ccc").file, (folder_ / "model-2.safetensors").string());
  expect_error(ErrorCode::kNotFound, {"'dddd'"}, [&] { source->load("dddd"); });
}

TEST_F(Sharded, TheFirstFormWins) {
  expect_error(ErrorCode::kNotFound, {"has no weights", "pytorch_model.bin.index.json"},
               [&] { open_weights(folder_); });
  EXPECT_EQ(find_weights(folder_), std::nullopt);
  shard("pytorch_model.bin", {"from_bin"});  // told apart by content, not by name
  EXPECT_TRUE(open_weights(folder_)->tensors().contains("from_bin"));
  shard("model-1.safetensors", {"indexed"});
  index(R"({"indexed":"model-1.safetensors"})");
  EXPECT_TRUE(open_weights(folder_)->tensors().contains("indexed"));
  shard("model.safetensors", {"single"});
  EXPECT_TRUE(open_weights(folder_)->tensors().contains("single"));
  EXPECT_EQ(find_weights(folder_), folder_ / "model.safetensors");
}

TEST_F(Sharded, RefusesBadIndices) {
  shard("model-1.safetensors", {"a"});
  const ErrorCode bad = ErrorCode::kBadFormat;
  index(R"({"a":"model-1.safetensors","b":"model-2.safetensors","c":"model-3.safetensors"})");
  expect_error(ErrorCode::kNotFound, {"index.json", "model-2.safetensors, model-3.safetensors"},
               [&] { open_weights(folder_); });
  index(R"({"a":"model-1.safetensors","b":"model-1.safetensors"})");
  expect_error(bad, {"'b'", "model-1.safetensors"}, [&] { open_weights(folder_); });
  for (const char* name : {R"("../model-1.safetensors")", R"("/etc/passwd")", R"("..")", R"("")",
                           R"("a\\b")", R"("a\u0000b")", "7"}) {
    index(fmt::format(R"({{"a":{}}})", name));
    expect_error(bad, {"index.json", "'a'", "plain name"}, [&] { open_weights(folder_); });
  }
  for (const char* map : {"{}", "[]", "7", "null"}) {
    index(map);
    expect_error(bad, {"index.json", "weight_map"}, [&] { open_weights(folder_); });
  }
  shard("model-2.safetensors", {"a", "b"});
  index(R"({"a":"model-1.safetensors","b":"model-2.safetensors"})");
  expect_error(bad, {"'a'", "both"}, [&] { open_weights(folder_); });
}

TEST_F(Sharded, NamesWhatAFileIsNot) {
  const ErrorCode bad = ErrorCode::kBadFormat;
  expect_error(ErrorCode::kNotFound, {"none.bin"}, [&] { open_tensor_file(folder_ / "none.bin"); });
  expect_error(bad, {"a directory"}, [&] { open_tensor_file(folder_); });
  expect_error(bad, {"is empty"}, [&] { open_tensor_file(write("empty.bin", "")); });
  expect_error(bad, {"t.bin", "none of"}, [&] { open_tensor_file(write("t.bin", "hello world")); });
  expect_error(bad, {"Git LFS"}, [&] {
    open_tensor_file(write("l.bin", "version https://git-lfs.github.com/spec/v1\n"));
  });
  expect_error(ErrorCode::kUnsupported, {"legacy"},
               [&] { open_tensor_file(write("o.bin", "\x80\x02\x8a\x0alF")); });
}

TEST_F(Sharded, RefusesQuantisedWeights) {
  shard("model.safetensors", {"model.layers.0.mlp.up_proj.weight.absmax"});
  expect_error(ErrorCode::kUnsupported, {"absmax", "quantised"}, [&] { open_weights(folder_); });
}

}  // namespace
}  // namespace llava::checkpoint
