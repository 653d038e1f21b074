// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as the hub's listing of a model, and chooses files from it. Whatever is accepted
// stays inside the folder it is put into.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "attempt.h"
#include "llava/hub/file_selection.h"
#include "llava/hub/repo_listing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  attempt([&] {
    const auto listing = llava::hub::parse_repo_listing(text, "fuzz");
    for (const auto& file : listing.files) {
      const std::filesystem::path place = std::filesystem::path("/cache") / file.path;
      if (!place.lexically_normal().string().starts_with("/cache/")) std::abort();
      if (!file.blob.empty() && !llava::hub::is_blob_name(file.blob)) std::abort();
    }
    llava::hub::description_files(listing);
    llava::hub::absent_files(listing);
    // The bytes once more as the text of every configuration and index.
    llava::hub::weight_files(
        listing, [&](const llava::hub::RepoFile&) { return std::string(text); }, "fuzz");
  });
  return 0;
}
