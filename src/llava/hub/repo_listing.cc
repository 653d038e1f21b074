// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/repo_listing.h"

#include <algorithm>
#include <set>

#include "llava/checkpoint/hub_cache.h"
#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::hub {
namespace {

constexpr std::size_t kMaxFiles = 100'000;
constexpr std::size_t kMaxPathLength = 1024;
constexpr std::size_t kMaxPartLength = 255;
// 64 TiB: the sum of as many as there may be still fits.
constexpr int64_t kMaxFileBytes = int64_t{1} << 46;

std::string blob_of(const JsonObject& file, std::string_view key) {
  std::string blob = file.get_string(key).value_or("");
  if (!blob.empty() && !is_blob_name(blob)) {
    file.wrong_type(key, "a hash of 40 or 64 lower-case hexadecimal digits");
  }
  return blob;
}

std::optional<uint64_t> size_of(const JsonObject& file) {
  const auto size = file.get_int("size");
  if (!size) return std::nullopt;
  if (*size < 0 || *size > kMaxFileBytes) file.wrong_type("size", "a number of bytes");
  return static_cast<uint64_t>(*size);
}

RepoFile read_file_entry(const Json& json, std::string_view source) {
  const JsonObject entry(json, source);
  const auto path = entry.get_string("rfilename");
  if (!path || !is_safe_repo_path(*path)) {
    entry.wrong_type("rfilename",
                     "a relative path without '..', backslashes and control characters");
  }
  RepoFile file{.path = *path, .size = size_of(entry), .blob = blob_of(entry, "blobId")};
  if (const Json* lfs = entry.find("lfs")) {
    // In git there is only a pointer to a large file.
    const JsonObject large(*lfs, fmt::format("{}: lfs of '{}'", source, *path));
    file.blob = blob_of(large, large.has("sha256") ? "sha256" : "oid");
    if (const auto size = size_of(large)) file.size = size;
  }
  return file;
}

}  // namespace

bool is_safe_repo_path(std::string_view path) {
  if (path.empty() || path.size() > kMaxPathLength) return false;
  const bool has_bad_sign = std::any_of(path.begin(), path.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f || c == '\\';
  });
  if (has_bad_sign) return false;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == ".." || part.size() > kMaxPartLength) return false;
    begin = end + 1;
  }
  return true;
}

bool is_blob_name(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

RepoListing parse_repo_listing(std::string_view json, std::string_view source) {
  const Json document = parse_json(json, source);
  const JsonObject object(document, source);
  RepoListing listing;
  listing.commit = object.get_string("sha").value_or("");
  if (!checkpoint::is_commit_hash(listing.commit)) {
    object.wrong_type("sha", "the hash of a commit, 40 hexadecimal digits");
  }
  const Json* siblings = object.find("siblings");
  if (siblings == nullptr || !siblings->is_array() || siblings->size() > kMaxFiles) {
    object.wrong_type("siblings", "a list of files");
  }
  std::set<std::string_view> paths;
  listing.files.reserve(siblings->size());
  for (const Json& entry : *siblings) {
    listing.files.push_back(read_file_entry(entry, source));
    if (!paths.insert(listing.files.back().path).second) {
      fail(ErrorCode::kBadFormat, "{}: lists the file '{}' twice", source,
           listing.files.back().path);
    }
  }
  return listing;
}

}  // namespace llava::hub
