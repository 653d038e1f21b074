// SPDX-License-Identifier: Apache-2.0
#include "llava/train/feature_cache.h"

#include "llava/checkpoint/safetensors.h"
#include "llava/core/error.h"

namespace llava::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSuffix = ".safetensors";
constexpr const char* kTensor = "features";

}  // namespace

FeatureCache::FeatureCache(const fs::path& folder, const std::string& recipe, int64_t max_bytes)
    : folder_(folder / recipe), max_bytes_(max_bytes) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    fail(ErrorCode::kNotFound, "--feature-cache: cannot make '{}': {}", folder_.string(),
         error.message());
  }
  state_.with([&](State& state) {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      // Files of a writer that was killed have other names.
      if (entry.path().extension() != kSuffix) continue;
      state.names.insert(entry.path().stem().string());
      state.num_bytes += static_cast<int64_t>(entry.file_size());
    }
  });
}

fs::path FeatureCache::file_of(const std::string& name) const { return folder_ / (name + kSuffix); }

bool FeatureCache::has(const Sha256& content) const {
  const std::string name = to_hex(content);
  return state_.with([&](const State& state) { return state.names.contains(name); });
}

Tensor FeatureCache::load(const Sha256& content) const {
  return checkpoint::SafetensorsFile::open(file_of(to_hex(content)))->load(kTensor);
}

void FeatureCache::store(const Sha256& content, const Tensor& features) {
  const std::string name = to_hex(content);
  const bool has_room = state_.with([&](State& state) {
    if (state.names.contains(name) || state.num_bytes + features.num_bytes() > max_bytes_) {
      return false;
    }
    state.num_bytes += features.num_bytes();
    return true;
  });
  if (!has_room) return;
  checkpoint::write_safetensors(file_of(name), {{kTensor, features}});
  state_.with([&](State& state) { state.names.insert(name); });
}

}  // namespace llava::train
