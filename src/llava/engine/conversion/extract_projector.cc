// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/conversion/extract_projector.h"

#include <filesystem>
#include <map>
#include <utility>

#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/lora_weights.h"
#include "llava/checkpoint/safetensors.h"
#include "llava/checkpoint/sharded.h"
#include "llava/checkpoint/torch_zip_writer.h"
#include "llava/core/error.h"
#include "llava/engine/checkpoint_place.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;

bool is_extracted(std::string_view name) {
  return name.find("mm_projector") != std::string_view::npos ||
         name.find("vision_resampler") != std::string_view::npos;
}

std::shared_ptr<const checkpoint::TensorSource> open(const fs::path& path) {
  if (fs::is_directory(path) && !checkpoint::find_weights(path)) {
    if (auto trained = checkpoint::open_non_lora_trainables(path)) return trained;
  }
  return checkpoint::open_weights(path);
}

const std::string& given_path(const ExtractProjectorRequest& request) {
  if (request.model_path.empty() == request.model_name_or_path.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "expected either --model-path or --model-name-or-path, found {}",
         request.model_path.empty() ? "neither" : "both");
  }
  return request.model_path.empty() ? request.model_name_or_path : request.model_path;
}

}  // namespace

ExtractProjectorReport extract_projector(const ExtractProjectorRequest& request) {
  const std::string& given = given_path(request);
  const auto source = open(resolve_model_path(given, "--model-path"));
  std::vector<std::pair<std::string, Tensor>> tensors;
  ExtractProjectorReport report;
  for (const auto& [key, info] : source->tensors()) {
    const std::string name = is_extracted(key) ? key : checkpoint::canonical_name(key);
    if (!is_extracted(name)) continue;
    if (is_packed(info.dtype)) {
      fail(ErrorCode::kUnsupported,
           "'{}': tensor '{}' is quantised ({}): extract the projector from the checkpoint it was "
           "made from",
           given, key, info.stored_as);
    }
    tensors.emplace_back(name, source->load(key));
    report.names.push_back(name);
  }
  if (tensors.empty()) {
    fail(ErrorCode::kNotFound,
         "'{}' has no projector: no tensor's name contains 'mm_projector' or 'vision_resampler', "
         "as in a language model alone",
         given);
  }
  fs::path output = request.output;
  if (fs::is_directory(output)) output /= "mm_projector.bin";
  fs::path twin = output;
  if (output.extension() == ".safetensors") {
    output.replace_extension(".bin");
  } else {
    twin.replace_extension(".safetensors");
  }
  checkpoint::write_safetensors(twin, tensors, {{"format", "pt"}});
  checkpoint::write_torch_zip(output, tensors);
  report.files = {output.string(), twin.string()};
  return report;
}

}  // namespace llava::engine
