// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/parity/reference_bundle.h"

#include <algorithm>
#include <charconv>

#include "llava/checkpoint/safetensors.h"
#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/text/conversation.h"

namespace llava::engine {
namespace {

using Metadata = std::map<std::string, std::string>;

std::optional<std::string> find(const Metadata& metadata, const std::string& key) {
  const auto it = metadata.find(key);
  return it == metadata.end() ? std::nullopt : std::optional(it->second);
}

[[noreturn]] void bad_key(const std::filesystem::path& path, std::string_view key,
                          std::string_view found, std::string_view expected) {
  fail(ErrorCode::kBadFormat, "{}: metadata key '{}' is '{}', expected {}", path.string(), key,
       found, expected);
}

std::filesystem::path beside(const std::filesystem::path& bundle, const std::string& relative) {
  return (bundle.parent_path() / relative).lexically_normal();
}

void read_images(ReferenceBundle& bundle, const Metadata& metadata) {
  const auto text = find(metadata, "images");
  if (!text) return;
  const Json list = parse_json(*text, bundle.path().string() + ": metadata key 'images'");
  if (!list.is_array()) bad_key(bundle.path(), "images", *text, "a JSON list of paths");
  for (const Json& item : list) {
    if (!item.is_string()) bad_key(bundle.path(), "images", *text, "a JSON list of paths");
    bundle.images.push_back(beside(bundle.path(), item.get<std::string>()));
  }
}

void read_messages(ReferenceBundle& bundle, const Metadata& metadata) {
  const auto text = find(metadata, "messages");
  if (!text) return;
  constexpr std::string_view kExpected = "a JSON list of [role, text] pairs";
  const Json list = parse_json(*text, bundle.path().string() + ": metadata key 'messages'");
  if (!list.is_array()) bad_key(bundle.path(), "messages", *text, kExpected);
  for (const Json& item : list) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() ||
        !(item[1].is_string() || item[1].is_null())) {
      bad_key(bundle.path(), "messages", *text, kExpected);
    }
    bundle.messages.emplace_back(
        item[0].get<std::string>(),
        item[1].is_null() ? std::nullopt : std::optional(item[1].get<std::string>()));
  }
}

// The template is only needed for messages; an unknown one is the bundle's fault, not the user's.
void check_conv_mode(const ReferenceBundle& bundle) {
  if (!bundle.conv_mode || bundle.messages.empty()) return;
  try {
    text::find_conversation_template(*bundle.conv_mode);
  } catch (const Error& error) {
    fail(ErrorCode::kBadFormat, "{}: metadata key 'conv_mode': {}", bundle.path().string(),
         error.what());
  }
}

void read_numbers(ReferenceBundle& bundle, const Metadata& metadata) {
  if (const auto text = find(metadata, "max_new_tokens")) {
    const auto [end, error] =
        std::from_chars(text->data(), text->data() + text->size(), bundle.max_new_tokens);
    if (error != std::errc() || end != text->data() + text->size() || bundle.max_new_tokens < 0) {
      bad_key(bundle.path(), "max_new_tokens", *text, "a number of tokens");
    }
  }
  if (const auto text = find(metadata, "margins")) {
    const Json list = parse_json(*text, bundle.path().string() + ": metadata key 'margins'");
    for (const Json& item : list) {
      if (!item.is_number()) bad_key(bundle.path(), "margins", *text, "a JSON list of numbers");
      bundle.margins.push_back(item.get<float>());
    }
  }
}

bool is_int_tensor(std::string_view name) {
  return name == "input_ids" || name == "generated_ids" || name == "labels";
}

// Rank and type of each known tensor, so that comparisons need no further checks.
void check_tensor(const std::filesystem::path& path, const checkpoint::TensorInfo& info) {
  const auto expect = [&](bool holds, std::string_view expected) {
    if (holds) return;
    fail(ErrorCode::kBadFormat, "{}: tensor '{}' is {} of shape {}, expected {}", path.string(),
         info.name, info.stored_as, to_text(info.shape), expected);
  };
  const auto rank = info.shape.size();
  if (is_int_tensor(info.name)) {
    expect(info.dtype == DType::kInt64 && rank == 1, "I64 of one dimension");
  } else if (info.name == "pixel_values") {
    expect(info.dtype == DType::kFloat32 && rank == 4, "F32 [tiles, 3, height, width]");
  } else if (info.name == "loss") {
    expect(is_compute_dtype(info.dtype) && (rank == 0 || (rank == 1 && info.shape[0] == 1)),
           "one float");
  } else if (info.name.starts_with("vision_hidden.")) {
    expect(is_compute_dtype(info.dtype) && rank == 3, "floats [tiles, tokens, width]");
  } else if (info.name.starts_with("hidden.") || info.name == "inputs_embeds" ||
             info.name == "image_features" || info.name == "logits") {
    expect(is_compute_dtype(info.dtype) && rank == 2, "floats of two dimensions");
  }
}

}  // namespace

ReferenceBundle ReferenceBundle::open(const std::filesystem::path& path) {
  ReferenceBundle bundle;
  bundle.path_ = path;
  const auto file = checkpoint::SafetensorsFile::open(path);
  const Metadata& metadata = file->metadata();
  bundle.file_ = file;
  const std::string format = find(metadata, "format").value_or("");
  if (format != kReferenceFormat) {
    fail(ErrorCode::kBadFormat,
         "{}: format is '{}', expected '{}': make the bundle with scripts/make_reference.py",
         path.string(), format, kReferenceFormat);
  }
  bundle.source = find(metadata, "source").value_or("");
  const std::string dtype = find(metadata, "dtype").value_or("float32");
  const auto parsed = dtype_from_name(dtype);
  if (!parsed || !is_compute_dtype(*parsed)) {
    bad_key(path, "dtype", dtype, "float32, bfloat16 or float16");
  }
  bundle.dtype = *parsed;
  bundle.image_aspect_ratio = find(metadata, "image_aspect_ratio");
  if (bundle.image_aspect_ratio && *bundle.image_aspect_ratio != "pad" &&
      *bundle.image_aspect_ratio != "square" && *bundle.image_aspect_ratio != "anyres") {
    bad_key(path, "image_aspect_ratio", *bundle.image_aspect_ratio, "pad, square or anyres");
  }
  bundle.prompt = find(metadata, "prompt");
  bundle.conv_mode = find(metadata, "conv_mode");
  bundle.lora = find(metadata, "lora");
  if (bundle.lora && *bundle.lora != "merged" && *bundle.lora != "unmerged") {
    bad_key(path, "lora", *bundle.lora, "'merged' or 'unmerged'");
  }
  if (const auto base = find(metadata, "model_base")) bundle.model_base = beside(path, *base);
  read_images(bundle, metadata);
  read_messages(bundle, metadata);
  check_conv_mode(bundle);
  read_numbers(bundle, metadata);
  for (const auto& [name, info] : bundle.file_->tensors()) check_tensor(path, info);
  if (!bundle.prompt && (bundle.messages.empty() || !bundle.conv_mode)) {
    fail(ErrorCode::kBadFormat,
         "{}: metadata has neither 'prompt' nor 'messages' with 'conv_mode', one is needed",
         path.string());
  }
  return bundle;
}

bool ReferenceBundle::has(const std::string& name) const { return file_->tensors().contains(name); }

std::vector<std::string> ReferenceBundle::names() const {
  std::vector<std::string> names;
  for (const auto& [name, info] : file_->tensors()) names.push_back(name);
  return names;
}

Tensor ReferenceBundle::floats(const std::string& name) const {
  return host_to_float32(file_->load(name));
}

std::vector<int64_t> ReferenceBundle::ints(const std::string& name) const {
  const Tensor tensor = file_->load(name);
  const auto values = tensor.data<int64_t>();
  return {values.begin(), values.end()};
}

std::vector<std::filesystem::path> find_bundles(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) {
    fail(ErrorCode::kNotFound,
         "reference '{}' does not exist, expected a bundle or a folder of them", path.string());
  }
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  if (files.empty()) {
    fail(ErrorCode::kNotFound, "folder '{}' has no *.safetensors bundle", path.string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace llava::engine
