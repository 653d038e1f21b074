// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/sharded_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <set>

#include "llava/checkpoint/expect_error.h"
#include "llava/checkpoint/safetensors.h"
#include "llava/checkpoint/sharded.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "support/paths.h"
#include "support/temporary_folder.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using llava::testing::expect_error;
using Tensors = std::vector<std::pair<std::string, Tensor>>;

class ShardedWriter : public testing::TemporaryFolder {
 protected:
  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }

  void write_weights(const Tensors& tensors, uint64_t max_shard_bytes) const {
    write_sharded_weights(folder_, weights_to_write(tensors),
                          {.max_shard_bytes = max_shard_bytes, .on_progress = {}});
  }
};

Tensor counted(Shape shape, float first) {
  Tensor tensor = Tensor::empty(std::move(shape), DType::kFloat32);
  for (float& value : tensor.mutable_data<float>()) value = first++;
  return tensor;
}

Tensors four_tensors(float first) {
  return {{"a", counted({4, 8}, first)},
          {"b", counted({4, 8}, first + 1)},
          {"c", counted({4, 8}, first + 2)},
          {"d", counted({2}, first + 3)}};
}

TEST_F(ShardedWriter, SplitsAsTransformersDoes) {
  const Json expected = read_json_file(test_data() / "checkpoint" / "shards" / "expected.json");
  Tensors tensors;
  for (const Json& weight : expected["weights"]) {
    tensors.emplace_back(
        weight[0].get<std::string>(),
        Tensor::zeros(weight[1].get<Shape>(), *dtype_from_name(weight[2].get<std::string>())));
  }
  for (const Json& c : expected["cases"]) {
    SCOPED_TRACE(to_text(c["max_shard_bytes"]));
    write_weights(tensors, c["max_shard_bytes"].get<uint64_t>());
    std::set<std::string> names;
    for (const auto& [file, keys] : c["shards"].items()) {
      names.insert(file);
      const auto shard = SafetensorsFile::open(folder_ / file);
      EXPECT_EQ(shard->metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
      std::set<std::string> found;
      for (const auto& [key, info] : shard->tensors()) found.insert(key);
      EXPECT_EQ(found, keys.get<std::set<std::string>>()) << file;
    }
    const auto index = c["index"].get<std::string>();
    if (!index.empty()) {
      names.insert("model.safetensors.index.json");
      EXPECT_EQ(read_file(folder_ / "model.safetensors.index.json", 1u << 20), index);
    }
    // What the case before wrote is gone.
    EXPECT_EQ(files(), names);
  }
}

TEST_F(ShardedWriter, WhatIsReadIsWhatWasWritten) {
  for (const uint64_t limit : {uint64_t{1}, uint64_t{130}, uint64_t{300}, uint64_t{1} << 30}) {
    const Tensors tensors = four_tensors(static_cast<float>(limit % 1000));
    std::vector<std::pair<uint64_t, uint64_t>> reports;
    write_sharded_weights(
        folder_, weights_to_write(tensors),
        {.max_shard_bytes = limit,
         .on_progress = [&](uint64_t done, uint64_t total) { reports.emplace_back(done, total); }});
    EXPECT_EQ(reports.back(), (std::pair<uint64_t, uint64_t>{392, 392}));
    const auto source = open_weights(folder_);
    ASSERT_EQ(source->tensors().size(), tensors.size());
    for (const auto& [name, tensor] : tensors) {
      const Tensor found = source->load(name);
      EXPECT_EQ(found.shape(), tensor.shape());
      EXPECT_TRUE(std::ranges::equal(found.bytes(), tensor.bytes())) << name;
    }
  }
}

TEST_F(ShardedWriter, TiedTensorsAreWrittenOnceAndNotAsTheHead) {
  const Tensor table = counted({8, 4}, 0);
  write_weights({{"lm_head.weight", table},
                 {"model.embed_tokens.weight", table},
                 {"model.other", table},
                 {"model.rows", table.rows(0, 4)},
                 {"model.norm.weight", counted({4}, 1)}},
                1u << 20);
  const auto source = open_weights(folder_);
  std::set<std::string> names;
  for (const auto& [name, info] : source->tensors()) names.insert(name);
  EXPECT_EQ(names, (std::set<std::string>{"model.embed_tokens.weight", "model.rows",
                                          "model.norm.weight"}));
}

TEST_F(ShardedWriter, LoadsOneTensorAtATime) {
  int num_alive = 0, most_alive = 0;
  std::vector<WeightToWrite> weights;
  for (int i = 0; i < 5; ++i) {
    weights.push_back(
        {{fmt::format("t{}", i), {1024}, DType::kFloat32}, [&] {
           const auto owner =
               std::shared_ptr<std::vector<float>>(new std::vector<float>(1024), [&](auto* values) {
                 --num_alive;
                 delete values;
               });
           most_alive = std::max(most_alive, ++num_alive);
           return Tensor::view_of(owner, std::as_bytes(std::span(*owner)), {1024}, DType::kFloat32);
         }});
  }
  write_sharded_weights(folder_, weights, {.max_shard_bytes = 10000, .on_progress = {}});
  EXPECT_EQ(most_alive, 1);
  EXPECT_EQ(open_weights(folder_)->tensors().size(), 5u);
}

TEST_F(ShardedWriter, AFailureLeavesTheOldFilesWhole) {
  write_weights(four_tensors(1), 200);
  const auto before = files();
  ASSERT_EQ(before.size(), 4u);
  const std::string shard = "model-00001-of-00003.safetensors";
  const std::string old = read_file(folder_ / shard, 1u << 20);

  // The last tensor cannot be made.
  auto weights = weights_to_write(four_tensors(2));
  weights.back().load = []() -> Tensor { fail(ErrorCode::kBadFormat, "no such tensor"); };
  expect_error(ErrorCode::kBadFormat, {"no such tensor"}, [&] {
    write_sharded_weights(folder_, weights, {.max_shard_bytes = 200, .on_progress = {}});
  });
  EXPECT_EQ(files(), before);
  EXPECT_EQ(read_file(folder_ / shard, 1u << 20), old);

  // The disk refuses.
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 64u << 10, .rlim_max = limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  Tensors large = four_tensors(3);
  large.emplace_back("e", counted({1 << 18}, 0));
  expect_error(ErrorCode::kResourceExhausted, {"model-00004-of-00004"},
               [&] { write_weights(large, 200); });
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(files(), before);
  EXPECT_EQ(read_file(folder_ / shard, 1u << 20), old);
}

TEST_F(ShardedWriter, ADiskWithoutRoomIsSaidBeforeAnythingIsWritten) {
  std::vector<WeightToWrite> weights;
  weights.push_back({{"a", {int64_t{1} << 50}, DType::kFloat32},
                     []() -> Tensor { fail(ErrorCode::kInternal, "was loaded"); }});
  expect_error(ErrorCode::kResourceExhausted, {"4294967296 MiB", folder_.string(), "make room"},
               [&] { write_sharded_weights(folder_, weights); });
  EXPECT_TRUE(files().empty());
}

TEST_F(ShardedWriter, RefusesWhatCannotBeRead) {
  const Tensor one = Tensor::zeros({1}, DType::kFloat32);
  expect_error(ErrorCode::kNotFound, {"absent", "no folder"}, [&] {
    write_sharded_weights(folder_ / "absent", weights_to_write({{"a", one}}));
  });
  expect_error(ErrorCode::kInvalidArgument, {"no weights"},
               [&] { write_sharded_weights(folder_, {}); });
  expect_error(ErrorCode::kInvalidArgument, {"'a'", "twice"}, [&] {
    write_weights({{"a", one}, {"a", Tensor::zeros({1}, DType::kFloat32)}}, 100);
  });
  write("model.llava", "a store");
  expect_error(ErrorCode::kInvalidArgument, {"model.llava", "another folder"}, [&] {
    write_weights({{"a", one}}, 100);
  });
}

}  // namespace
}  // namespace llava::checkpoint
