// SPDX-License-Identifier: Apache-2.0
#include "torch_program.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "llava/core/error.h"
#include "llava/core/program_path.h"

namespace llava::app {

void require_backend(const RuntimeOptions& options) {
  if (needs_torch(options)) require_torch();
}

void require_torch() {
#ifdef LLAVA_TORCH_PROGRAM
  throw TorchProgramNeeded();
#endif
}

void start_torch_program([[maybe_unused]] char** argv) {
#ifdef LLAVA_TORCH_PROGRAM
  const std::filesystem::path program = program_path().replace_filename(LLAVA_TORCH_PROGRAM);
  execv(program.c_str(), argv);
  fail(ErrorCode::kUnavailable,
       "'{}', the program with LibTorch that belongs beside this one, cannot be started ({}): "
       "build or "
       "install both",
       program.string(), std::strerror(errno));
#else
  fail(ErrorCode::kInternal, "this build has one program");
#endif
}

}  // namespace llava::app
