// SPDX-License-Identifier: Apache-2.0
#include "llava/kernels/dispatch.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iterator>

#include "llava/core/error.h"
#include "llava/core/log.h"
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

// Every table of this architecture, whatever the processor can run.
#if defined(__x86_64__)
constexpr std::string_view kCompiled[] = {"scalar", "avx2",       "avxvnni",
                                          "avx512", "avx512vnni", "avx512bf16"};
#elif defined(__aarch64__)
constexpr std::string_view kCompiled[] = {"scalar", "neon", "neondot", "neoni8mm"};
#else
constexpr std::string_view kCompiled[] = {"scalar"};
#endif

const KernelTable* find(std::string_view name, std::span<const KernelTable* const> tables) {
  const auto place =
      std::ranges::find_if(tables, [&](const KernelTable* table) { return table->name == name; });
  return place == tables.end() ? nullptr : *place;
}

[[noreturn]] void refuse(std::string_view name, std::string_view asked_by) {
  std::string names;
  for (const KernelTable* table : available()) {
    names += names.empty() ? "" : ", ";
    names += table->name;
  }
  fail(ErrorCode::kInvalidArgument, "{} is '{}': this processor has the kernel tables {}; name one",
       asked_by, name, names);
}

const KernelTable& choose() {
  const char* forced = std::getenv("LLAVA_KERNELS");
  return choose_kernels(forced == nullptr ? "" : forced, available());
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

const KernelTable& choose_kernels(std::string_view wanted,
                                  std::span<const KernelTable* const> usable) {
  const KernelTable& best = *usable.back();
  if (wanted.empty()) {
    if (usable.size() == 1) {
      log_warning("kernels_without_vectors",
                  {{"used", best.name}, {"reason", "this processor lacks AVX2 or NEON"}});
    }
    return best;
  }
  if (const KernelTable* const table = find(wanted, usable)) return *table;
  if (std::ranges::find(kCompiled, wanted) == std::end(kCompiled)) {
    refuse(wanted, "environment variable LLAVA_KERNELS");
  }
  log_warning("kernels_not_on_this_processor", {{"wanted", wanted}, {"used", best.name}});
  return best;
}

const KernelTable& active() { return *chosen().load(std::memory_order_acquire); }

ScopedKernels::ScopedKernels(std::string_view name) {
  const KernelTable* const table = find(name, available());
  if (table == nullptr) refuse(name, "kernel table");
  previous_ = chosen().exchange(table);
}

ScopedKernels::~ScopedKernels() { chosen().store(previous_); }

}  // namespace llava::kernels
