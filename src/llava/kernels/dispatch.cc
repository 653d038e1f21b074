// SPDX-License-Identifier: Apache-2.0
#include "llava/kernels/dispatch.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "llava/core/error.h"
#include "llava/kernels/tables.h"

namespace llava::kernels {
namespace {

std::vector<const KernelTable*> find_available() {
  std::vector<const KernelTable*> tables{&scalar::table()};
  const std::vector<std::string> features = cpu_features();
  const auto has = [&](std::initializer_list<std::string_view> names) {
    return std::ranges::all_of(names, [&](std::string_view name) {
      return std::ranges::find(features, name) != features.end();
    });
  };
#if defined(__x86_64__)
  if (has({"avx2", "fma", "f16c"})) {
    tables.push_back(&avx2::table());
    if (has({"avxvnni"})) tables.push_back(&avxvnni::table());
    if (has({"avx512f", "avx512bw", "avx512dq", "avx512vl"})) {
      tables.push_back(&avx512::table());
      if (has({"avx512vnni"})) {
        tables.push_back(&avx512vnni::table());
        if (has({"avx512bf16"})) tables.push_back(&avx512bf16::table());
      }
    }
  }
#elif defined(__aarch64__)
  if (has({"neon"})) {
    tables.push_back(&neon::table());
    if (has({"dotprod"})) tables.push_back(&neondot::table());
    if (has({"i8mm"})) tables.push_back(&neoni8mm::table());
  }
#endif
  return tables;
}

const KernelTable& find(std::string_view name, std::string_view asked_by) {
  std::string names;
  for (const KernelTable* table : available()) {
    if (table->name == name) return *table;
    names += names.empty() ? "" : ", ";
    names += table->name;
  }
  fail(ErrorCode::kInvalidArgument, "{} is '{}': this processor has the kernel tables {}; name one",
       asked_by, name, names);
}

const KernelTable& choose() {
  const char* forced = std::getenv("LLAVA_KERNELS");
  if (forced == nullptr || *forced == '\0') return *available().back();
  return find(forced, "environment variable LLAVA_KERNELS");
}

std::atomic<const KernelTable*>& chosen() {
  static std::atomic<const KernelTable*> table{&choose()};
  return table;
}

}  // namespace

std::span<const KernelTable* const> available() {
  static const std::vector<const KernelTable*> tables = find_available();
  return tables;
}

const KernelTable& active() { return *chosen().load(std::memory_order_acquire); }

ScopedKernels::ScopedKernels(std::string_view name)
    : previous_(chosen().exchange(&find(name, "kernel table"))) {}

ScopedKernels::~ScopedKernels() { chosen().store(previous_); }

}  // namespace llava::kernels
