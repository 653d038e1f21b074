// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/file_selection.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::hub {
namespace {

constexpr std::array<std::string_view, 17> kDescriptions{
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.gguf",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
};

// In the order in which a folder's weights are looked for (checkpoint/sharded.cc).
constexpr std::array<std::string_view, 5> kWeights{
    "model.llava", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
    "pytorch_model.bin.index.json"};

class Selection {
 public:
  Selection(const RepoListing& listing, const FileReader& read, std::string_view source)
      : listing_(listing), read_(read), source_(source) {}

  std::vector<RepoFile> run() {
    if (!add_adapter() && !add_weights("") && !add("mm_projector.bin")) fail_without_weights();
    add_tower();
    return std::move(chosen_);
  }

 private:
  const RepoFile* find(std::string_view path) const {
    const auto it = std::ranges::find(listing_.files, path, &RepoFile::path);
    return it == listing_.files.end() ? nullptr : &*it;
  }

  bool add(std::string_view path) {
    const RepoFile* file = find(path);
    if (file != nullptr) chosen_.push_back(*file);
    return file != nullptr;
  }

  bool add_adapter() {
    if (find("adapter_config.json") == nullptr) return false;
    const bool has_weights = add("adapter_model.safetensors") || add("adapter_model.bin");
    add("non_lora_trainables.bin");
    return has_weights;
  }

  bool add_weights(const std::string& folder) {
    for (const std::string_view name : kWeights) {
      const std::string path = folder + std::string(name);
      if (!add(path)) continue;
      if (name.ends_with(".index.json")) add_shards(folder, *find(path));
      return true;
    }
    return false;
  }

  void add_shards(const std::string& folder, const RepoFile& index) {
    const std::string what = fmt::format("'{}' of {}", index.path, source_);
    const Json json = parse_json(read_(index), what);
    const JsonObject object(json, what);
    const Json* map = object.find("weight_map");
    if (map == nullptr || !map->is_object() || map->empty()) {
      object.wrong_type("weight_map", "an object from tensor names to file names");
    }
    std::set<std::string> names;
    for (const auto& [tensor, name] : map->items()) {
      if (!name.is_string()) object.wrong_type("weight_map", "an object of file names");
      names.insert(name.get<std::string>());
    }
    for (const std::string& name : names) {
      if (add(folder + name)) continue;
      fail(ErrorCode::kBadFormat, "{} names the file '{}', which the model does not have", what,
           name);
    }
  }

  // A tower in a folder of the checkpoint, as `llava quantize` writes it.
  void add_tower() {
    const RepoFile* config = find("config.json");
    if (config == nullptr) return;
    const std::string what = fmt::format("'config.json' of {}", source_);
    const Json json = parse_json(read_(*config), what);
    const auto tower = JsonObject(json, what).get_string("mm_vision_tower");
    if (!tower || !is_safe_repo_path(*tower)) return;
    const std::string folder = *tower + "/";
    if (find(folder + "config.json") == nullptr) return;
    for (const std::string_view name : kDescriptions) add(folder + std::string(name));
    add_weights(folder);
  }

  [[noreturn]] void fail_without_weights() const {
    std::string models;
    for (const RepoFile& file : listing_.files) {
      if (file.path.ends_with(".gguf")) models += "\n  " + file.path;
    }
    if (!models.empty()) {
      fail(ErrorCode::kNotFound, "{} has its weights as GGUF only; choose one with --include:{}",
           source_, models);
    }
    fail(
        ErrorCode::kNotFound,
        "{} has no weights that llava reads (model.safetensors, pytorch_model.bin, with or without "
        "an index, adapter_model or mm_projector.bin); --include fetches files by name",
        source_);
  }

  const RepoListing& listing_;
  const FileReader& read_;
  std::string_view source_;
  std::vector<RepoFile> chosen_;
};

}  // namespace

bool matches_any(const std::vector<std::string>& patterns, const std::string& path) {
  return std::ranges::any_of(patterns, [&](std::string pattern) {
    if (pattern.ends_with('/')) pattern += '*';
    return ::fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
  });
}

std::vector<RepoFile> description_files(const RepoListing& listing) {
  std::vector<RepoFile> files;
  for (const RepoFile& file : listing.files) {
    if (std::ranges::find(kDescriptions, file.path) != kDescriptions.end()) files.push_back(file);
  }
  return files;
}

std::vector<RepoFile> weight_files(const RepoListing& listing, const FileReader& read,
                                   std::string_view source) {
  return Selection(listing, read, source).run();
}

std::vector<std::string> absent_files(const RepoListing& listing) {
  std::vector<std::string> absent;
  for (const std::string_view name : kDescriptions) {
    if (std::ranges::find(listing.files, name, &RepoFile::path) == listing.files.end()) {
      absent.emplace_back(name);
    }
  }
  return absent;
}

}  // namespace llava::hub
