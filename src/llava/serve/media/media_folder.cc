// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/media/media_folder.h"

#include <curl/curl.h>
#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "llava/core/error.h"
#include "llava/core/file.h"

namespace llava::serve {
namespace {

template <class... Args>
[[noreturn]] void refuse_path(fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorCode::kInvalidArgument, format, std::forward<Args>(args)...);
}

/// The path of "file:///path", its %-codes read.
std::filesystem::path path_of(std::string_view url) {
  constexpr std::string_view kScheme = "file://";
  if (!url.starts_with(kScheme) || url.size() <= kScheme.size() || url.at(kScheme.size()) != '/') {
    refuse_path("expected file:///folder/picture");
  }
  const std::string written(url.substr(kScheme.size()));
  int length = 0;
  const std::unique_ptr<char, decltype(&curl_free)> decoded(
      curl_easy_unescape(nullptr, written.data(), static_cast<int>(written.size()), &length),
      curl_free);
  if (!decoded) refuse_path("it cannot be read");
  std::string path(decoded.get(), static_cast<std::size_t>(length));
  if (path.find('\0') != std::string::npos) refuse_path("it has a zero byte");
  return path;
}

Descriptor open_below(const std::filesystem::path& folder, const std::filesystem::path& relative) {
  Descriptor current(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (current.get() < 0) refuse_path("the folder cannot be opened: {}", std::strerror(errno));
  for (auto part = relative.begin(); part != relative.end(); ++part) {
    const bool is_last = std::next(part) == relative.end();
    // A pipe would make the server wait for a writer.
    const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (is_last ? O_NONBLOCK : O_DIRECTORY);
    Descriptor next(openat(current.get(), part->c_str(), flags));
    if (next.get() < 0) refuse_path("{}", std::strerror(errno));
    current = std::move(next);
  }
  return current;
}

}  // namespace

std::string read_media_file(const std::string& folder, std::string_view url, uint64_t max_bytes) {
  const std::filesystem::path root = std::filesystem::absolute(folder).lexically_normal() / "";
  const std::filesystem::path path = path_of(url);
  for (const auto& part : path) {
    if (part == "..") refuse_path("it leads upwards");
  }
  const std::filesystem::path relative = path.lexically_normal().lexically_relative(root);
  if (relative.empty() || *relative.begin() == ".." || *relative.begin() == ".") {
    refuse_path("it is not below the folder");
  }
  return read_file(open_below(root, relative), path, max_bytes);
}

}  // namespace llava::serve
