// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bundled_model.h"

#ifdef __linux__
#include <sys/auxv.h>
#endif

#include <cstdlib>
#include <string>
#include <vector>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;

constexpr char kCheckpointName[] = "tiny-llava-smollm2";
constexpr char kBaseName[] = "SmolLM2-135M-Instruct.Q4_1.gguf";

// The running program; a bare chroot has no /proc, but the kernel tells every process its path too.
fs::path program_path() {
  std::error_code error;
  fs::path program = fs::read_symlink("/proc/self/exe", error);
#ifdef __linux__
  if (error) {
    const auto name = ::getauxval(AT_EXECFN);
    // An address of the process itself, handed over as a number.
    if (name != 0) program = fs::canonical(reinterpret_cast<const char*>(name), error);
  }
#endif
  return program;
}

// Folders of models: beside an installed program, beside a build folder, and the user's cache.
std::vector<fs::path> model_folders() {
  std::vector<fs::path> folders;
  const fs::path program = program_path();
  if (!program.empty()) {
    const fs::path bin = program.parent_path();
    folders.push_back((bin / "../share/llava/models").lexically_normal());
    folders.push_back((bin / "../../../models").lexically_normal());
  }
#ifdef LLAVA_MODELS_FOLDER
  folders.emplace_back(LLAVA_MODELS_FOLDER);
#endif
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && *cache != '\0') {
    folders.push_back(fs::path(cache) / "llava/models");
  } else if (home != nullptr && *home != '\0') {
    folders.push_back(fs::path(home) / ".cache/llava/models");
  }
  return folders;
}

fs::path find(const std::vector<fs::path>& folders, const char* name, std::string_view what,
              std::string_view advice) {
  std::string tried;
  for (const fs::path& folder : folders) {
    std::error_code error;
    if (fs::exists(folder / name, error)) return folder / name;
    tried += (tried.empty() ? "" : ", ") + (folder / name).string();
  }
  fail(ErrorCode::kNotFound, "{} was not found; tried {}: {}", what, tried, advice);
}

}  // namespace

BundledModel find_bundled_model() {
  const std::vector<fs::path> folders = model_folders();
  return {.checkpoint = find(folders, kCheckpointName, "the bundled model",
                             "name a checkpoint with --model-path"),
          .base = find(folders, kBaseName, "the bundled model's language model",
                       "run scripts/setup, which fetches it once, or give the file with "
                       "--model-base")};
}

}  // namespace llava::engine
