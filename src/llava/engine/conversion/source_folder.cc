// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/conversion/source_folder.h"

#include <optional>
#include <system_error>

#include "llava/checkpoint/held_weights.h"
#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/packed_store.h"
#include "llava/checkpoint/sharded.h"
#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/engine/checkpoint_files.h"
#include "llava/engine/checkpoint_place.h"
#include "llava/engine/checkpoint_weights.h"

namespace llava::engine {

namespace fs = std::filesystem;
using checkpoint::Layout;

SourceFolder open_source_folder(const std::string& path, std::string_view flag) {
  SourceFolder source;
  source.path = resolve_model_path(path, flag);
  if (!fs::is_directory(source.path) || fs::exists(source.path / checkpoint::kPackedStoreFile)) {
    fail(ErrorCode::kUnsupported,
         "{} '{}' is {}, expected a folder of floating-point weights: give the checkpoint it was "
         "made from",
         flag, source.path.string(),
         fs::is_directory(source.path) ? "a packed store" : "a single file");
  }
  source.description = checkpoint::read_config(source.path);
  if (needs_base(source.description.layout)) {
    fail(ErrorCode::kInvalidArgument,
         "{} '{}' is a {} checkpoint, expected a whole model: join it with its base by 'llava "
         "merge-lora' first",
         flag, source.path.string(), checkpoint::layout_name(source.description.layout));
  }
  const bool keeps_tower = source.description.has_tower_weights;
  source.weights = checkpoint::rename_source(
      checkpoint::open_weights(source.path),
      [keeps_tower](std::string_view key) -> std::optional<std::string> {
        const bool is_left_aside =
            !keeps_tower && checkpoint::is_vision_name(checkpoint::canonical_name(key));
        return is_left_aside ? std::nullopt : std::optional<std::string>(key);
      });
  return source;
}

void require_other_folder(const fs::path& target, std::string_view target_flag,
                          const fs::path& source, std::string_view source_flag) {
  std::error_code ignored;
  if (!fs::equivalent(target, source, ignored)) return;
  fail(ErrorCode::kInvalidArgument, "{} '{}' is {}, which stays as it is: choose another folder",
       target_flag, target.string(), source_flag);
}

OrderedJson converted_config(const SourceFolder& source, DType dtype) {
  OrderedJson json = read_ordered_file(source.path / "config.json");
  const std::string name = fmt::format("{}", dtype_name(dtype));
  json[json.contains("dtype") ? "dtype" : "torch_dtype"] = name;
  if (source.description.layout == Layout::kOriginal && source.description.model_type == "llama") {
    json["architectures"] = {"LlavaLlamaForCausalLM"};
    json["model_type"] = "llava_llama";
    log_info("config_upgraded", {{"from", "llama"}, {"to", "llava_llama"}});
  }
  return json;
}

void write_small_files(const SourceFolder& source, const fs::path& folder, DType dtype) {
  const OrderedJson config = converted_config(source, dtype);
  write_ordered_file(folder / "config.json", config);
  write_generation_config(source.path, folder, config);
  copy_tokenizer_files(source.path, folder);
  copy_processor_files(source.path, folder);
}

}  // namespace llava::engine
