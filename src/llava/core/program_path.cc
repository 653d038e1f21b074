// SPDX-License-Identifier: Apache-2.0
#include "llava/core/program_path.h"

#ifdef __linux__
#include <sys/auxv.h>
#endif
#ifdef __APPLE__
#include <mach-o/dyld.h>

#include <string>
#endif

namespace llava {

std::filesystem::path program_path() {
  std::error_code error;
#ifdef __APPLE__
  uint32_t size = 0;
  _NSGetExecutablePath(nullptr, &size);
  std::string name(size, '\0');
  if (_NSGetExecutablePath(name.data(), &size) != 0) return {};
  return std::filesystem::canonical(name.c_str(), error);
#else
  std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
#ifdef __linux__
  // A bare chroot has no /proc, but the kernel tells every process its path too.
  if (error) {
    const auto name = ::getauxval(AT_EXECFN);
    // An address of the process itself, handed over as a number.
    if (name != 0) program = std::filesystem::canonical(reinterpret_cast<const char*>(name), error);
  }
#endif
  return program;
#endif
}

}  // namespace llava
