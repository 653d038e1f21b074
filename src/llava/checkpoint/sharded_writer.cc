// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/sharded_writer.h"

#include <algorithm>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <tuple>

#include "llava/checkpoint/packed_store.h"
#include "llava/checkpoint/safetensors_writer.h"
#include "llava/core/check.h"
#include "llava/core/disk_space.h"
#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

using Shard = std::vector<const WeightToWrite*>;

uint64_t bytes_of(const WeightToWrite& weight) {
  return static_cast<uint64_t>(weight.tensor.num_bytes());
}

std::vector<Shard> split(const std::vector<WeightToWrite>& weights, uint64_t max_shard_bytes) {
  std::vector<Shard> shards(1);
  uint64_t size = 0;
  for (const WeightToWrite& weight : weights) {
    if (!shards.back().empty() && size + bytes_of(weight) > max_shard_bytes) {
      shards.emplace_back();
      size = 0;
    }
    shards.back().push_back(&weight);
    size += bytes_of(weight);
  }
  return shards;
}

std::string shard_name(std::size_t index, std::size_t count) {
  if (count == 1) return std::string(kSingleFile);
  return fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count);
}

std::string index_text(const std::vector<Shard>& shards, uint64_t total_bytes) {
  constexpr int kIndent = 2;
  std::map<std::string, std::string> weight_map;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    for (const WeightToWrite* weight : shards[i]) {
      weight_map[weight->tensor.name] = shard_name(i, shards.size());
    }
  }
  OrderedJson index;
  index["metadata"]["total_size"] = total_bytes;
  index["weight_map"] = weight_map;
  return to_text(index, kIndent) + "\n";
}

// Weights of an earlier write under other names, one of which might be read instead.
void remove_stale(const fs::path& folder, const std::set<std::string>& written) {
  static const std::regex kOurs(R"(model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?)");
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (std::regex_match(name, kOurs) && !written.contains(name)) stale.push_back(entry.path());
  }
  for (const fs::path& path : stale) fs::remove(path);
}

class WeightsWriter {
 public:
  WeightsWriter(const fs::path& folder, const std::vector<WeightToWrite>& weights,
                const ShardedWriteOptions& options)
      : folder_(folder), options_(options), shards_(split(weights, options.max_shard_bytes)) {
    for (const WeightToWrite& weight : weights) {
      total_bytes_ += bytes_of(weight);
      if (!by_name_.emplace(weight.tensor.name, &weight).second) {
        fail(ErrorCode::kInvalidArgument,
             "cannot write weights into '{}': tensor name '{}' is given twice", folder.string(),
             weight.tensor.name);
      }
    }
  }

  void run() {
    require_disk_space(folder_, total_bytes_, "writing the weights",
                       "make room or choose another folder");
    std::vector<std::unique_ptr<SafetensorsWriter>> files;
    for (std::size_t i = 0; i < shards_.size(); ++i) files.push_back(write_shard(i));
    std::set<std::string> written;
    for (std::size_t i = 0; i < files.size(); ++i) {
      files[i]->finish();
      written.insert(shard_name(i, files.size()));
    }
    if (files.size() > 1) {
      write_file_atomically(folder_ / kIndexFile, index_text(shards_, total_bytes_));
      written.emplace(kIndexFile);
    }
    remove_stale(folder_, written);
  }

 private:
  std::unique_ptr<SafetensorsWriter> write_shard(std::size_t index) {
    std::vector<PlannedTensor> plan;
    for (const WeightToWrite* weight : shards_[index]) plan.push_back(weight->tensor);
    auto file = std::make_unique<SafetensorsWriter>(
        folder_ / shard_name(index, shards_.size()), std::move(plan),
        std::map<std::string, std::string>{{"format", "pt"}});
    for (const PlannedTensor& tensor : file->tensors()) {
      file->write(by_name_.at(tensor.name)->load());
      done_bytes_ += static_cast<uint64_t>(tensor.num_bytes());
      if (options_.on_progress) options_.on_progress(done_bytes_, total_bytes_);
    }
    file->flush();
    return file;
  }

  const fs::path& folder_;
  const ShardedWriteOptions& options_;
  std::vector<Shard> shards_;
  std::map<std::string_view, const WeightToWrite*> by_name_;
  uint64_t done_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

}  // namespace

std::vector<WeightToWrite> weights_to_write(
    const std::vector<std::pair<std::string, Tensor>>& tensors) {
  constexpr std::string_view kHead = "lm_head.weight";
  std::map<std::tuple<const std::byte*, Shape, DType>, std::size_t> places;
  std::vector<WeightToWrite> weights;
  for (const auto& [name, tensor] : tensors) {
    WeightToWrite weight{{name, tensor.shape(), tensor.dtype()},
                         [tensor = tensor] { return tensor; }};
    if (tensor.num_bytes() > 0) {
      const auto [it, is_new] = places.emplace(
          std::tuple(tensor.bytes().data(), tensor.shape(), tensor.dtype()), weights.size());
      if (!is_new) {
        WeightToWrite& kept = weights[it->second];
        if (kept.tensor.name == kHead) kept = std::move(weight);
        continue;
      }
    }
    weights.push_back(std::move(weight));
  }
  return weights;
}

void write_sharded_weights(const fs::path& folder, const std::vector<WeightToWrite>& weights,
                           const ShardedWriteOptions& options) {
  if (!fs::is_directory(folder)) {
    fail(ErrorCode::kNotFound, "cannot write weights: '{}' is no folder: make it first",
         folder.string());
  }
  if (weights.empty()) {
    fail(ErrorCode::kInvalidArgument, "no weights to write into '{}'", folder.string());
  }
  if (fs::exists(folder / kPackedStoreFile)) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' holds {}, which is read before any other weights: choose another folder",
         folder.string(), kPackedStoreFile);
  }
  WeightsWriter(folder, weights, options).run();
}

}  // namespace llava::checkpoint
