// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bundled_model.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/program_path.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;

constexpr char kCheckpointName[] = "tiny-llava-smollm2";
constexpr char kBaseName[] = "SmolLM2-135M-Instruct.Q4_1.gguf";

// Folders of models: the caller's, beside the program (a build folder is laid out as an
// installation is), and the user's cache.
std::vector<fs::path> all_folders(const fs::path& models_folder) {
  std::vector<fs::path> folders;
  if (!models_folder.empty()) folders.push_back(models_folder);
  const fs::path program = program_path();
  if (!program.empty()) {
    folders.push_back((program.parent_path() / "../share/llava/models").lexically_normal());
  }
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && *cache != '\0') {
    folders.push_back(fs::path(cache) / "llava/models");
  } else if (home != nullptr && *home != '\0') {
    folders.push_back(fs::path(home) / ".cache/llava/models");
  }
  return folders;
}

fs::path find(const fs::path& models_folder, const char* name, std::string_view what,
              std::string_view advice) {
  std::string tried;
  for (const fs::path& folder : all_folders(models_folder)) {
    std::error_code error;
    if (fs::exists(folder / name, error)) return folder / name;
    tried += (tried.empty() ? "" : ", ") + (folder / name).string();
  }
  fail(ErrorCode::kNotFound, "{} was not found; tried {}: {}", what, tried, advice);
}

}  // namespace

fs::path find_bundled_checkpoint(const fs::path& models_folder) {
  return find(models_folder, kCheckpointName, "the bundled model",
              "name a checkpoint with --model-path");
}

fs::path find_bundled_base(const fs::path& models_folder) {
  return find(models_folder, kBaseName, "the bundled model's language model",
              "run scripts/setup, which fetches it once, or give the file with --model-base");
}

}  // namespace llava::engine
