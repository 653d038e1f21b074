// SPDX-License-Identifier: Apache-2.0
//
// Feeds every file of a corpus folder to a fuzz target, in name order: the regression test that
// every compiler can run. The fuzzers themselves are built by the preset `fuzz`.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "llava/core/file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::fprintf(stderr, "'%s' has no file to replay\n", argv[1]);
    return 1;
  }
  for (const auto& file : files) {
    const std::string content = llava::read_file(file, 1u << 30);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(content.data()), content.size());
  }
  std::printf("%zu inputs replayed\n", files.size());
  return 0;
}
