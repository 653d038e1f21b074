// SPDX-License-Identifier: Apache-2.0
//
// What processor this is.
#include <cstring>

#include "llava/kernels/dispatch.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace llava::kernels {

#if defined(__x86_64__)

std::string cpu_name() {
  unsigned registers[12] = {};
  if (__get_cpuid_max(0x80000000u, nullptr) < 0x80000004u) return "x86-64";
  for (unsigned i = 0; i < 3; ++i) {
    unsigned* r = registers + 4 * i;
    __get_cpuid(0x80000002u + i, &r[0], &r[1], &r[2], &r[3]);
  }
  char text[sizeof registers + 1] = {};
  std::memcpy(text, registers, sizeof registers);
  const std::string name(text);
  const std::size_t begin = name.find_first_not_of(' ');
  if (begin == std::string::npos) return "x86-64";
  return name.substr(begin, name.find_last_not_of(' ') + 1 - begin);
}

std::vector<std::string> cpu_features() {
  // These builtins also ask whether the operating system saves the wider registers.
  __builtin_cpu_init();
  std::vector<std::string> features;
  const auto add = [&](const char* name, bool is_present) {
    if (is_present) features.emplace_back(name);
  };
  add("avx2", __builtin_cpu_supports("avx2") != 0);
  add("fma", __builtin_cpu_supports("fma") != 0);
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  add("f16c", __builtin_cpu_supports("avx") != 0 && __get_cpuid(1, &a, &b, &c, &d) != 0 &&
                  (c & bit_F16C) != 0);
  // The compilers' builtin does not know this one by name yet.
  add("avxvnni", __builtin_cpu_supports("avx2") != 0 &&
                     __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1u << 4)) != 0);
  add("avx512f", __builtin_cpu_supports("avx512f") != 0);
  add("avx512bw", __builtin_cpu_supports("avx512bw") != 0);
  add("avx512dq", __builtin_cpu_supports("avx512dq") != 0);
  add("avx512vl", __builtin_cpu_supports("avx512vl") != 0);
  add("avx512vnni", __builtin_cpu_supports("avx512vnni") != 0);
  add("avx512bf16", __builtin_cpu_supports("avx512bf16") != 0);
  return features;
}

#elif defined(__aarch64__)

std::string cpu_name() { return "aarch64"; }
std::vector<std::string> cpu_features() {
  std::vector<std::string> features{"neon"};
#if defined(__linux__)
  // Bits of the kernel's documentation, arm64/elf_hwcaps: HWCAP_ASIMDDP and HWCAP2_I8MM.
  if ((getauxval(AT_HWCAP) & (1ul << 20)) != 0) features.emplace_back("dotprod");
  if ((getauxval(AT_HWCAP2) & (1ul << 13)) != 0) features.emplace_back("i8mm");
#elif defined(__APPLE__)
  // Every such processor has it.
  features.emplace_back("dotprod");
#endif
  return features;
}

#else

std::string cpu_name() { return "unknown"; }
std::vector<std::string> cpu_features() { return {}; }

#endif

}  // namespace llava::kernels
