// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/hub_settings.h"

#include <algorithm>
#include <cstdlib>

#include "llava/checkpoint/hub_cache.h"
#include "llava/core/error.h"
#include "llava/core/file.h"

namespace llava::hub {
namespace {

namespace fs = std::filesystem;

constexpr char kDefaultEndpoint[] = "https://huggingface.co";
constexpr uint64_t kMaxTokenBytes = 4096;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

// What huggingface_hub takes for yes.
bool is_on(const char* name) {
  std::string value = environment(name);
  for (char& c : value) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

std::string trimmed(const std::string& text) {
  constexpr char kSpaces[] = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

// A token becomes part of a header line.
bool is_printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

std::string token_of_environment() {
  if (is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return {};
  // The second one is the older name of the first.
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    const std::string token = trimmed(environment(name));
    if (token.empty()) continue;
    if (!is_printable(token)) {
      fail(ErrorCode::kInvalidArgument,
           "{} holds characters that no token has, expected printable ASCII without spaces", name);
    }
    return token;
  }
  const std::string named = environment("HF_TOKEN_PATH");
  const fs::path path =
      named.empty() ? checkpoint::hub_home() / "token" : checkpoint::expand_user_path(named);
  std::error_code error;
  return fs::is_regular_file(path, error) ? read_token_file(path) : std::string();
}

}  // namespace

std::string checked_endpoint(const std::string& text, const std::string& source) {
  std::string endpoint = trimmed(text);
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const std::size_t scheme = endpoint.starts_with("https://")  ? 8
                             : endpoint.starts_with("http://") ? 7
                                                               : 0;
  const bool has_host = scheme > 0 && endpoint.size() > scheme && endpoint[scheme] != '/';
  if (!has_host || !is_printable(endpoint) ||
      endpoint.find_first_of("?#@\\") != std::string::npos) {
    fail(ErrorCode::kInvalidArgument,
         "{} is '{}', expected the address of a hub such as {} or http://mirror:8080", source, text,
         kDefaultEndpoint);
  }
  return endpoint;
}

std::string read_token_file(const fs::path& path) {
  const std::string token = trimmed(read_file(path, kMaxTokenBytes));
  if (!is_printable(token)) {
    fail(ErrorCode::kBadFormat,
         "'{}' holds no token: expected one line of printable ASCII without spaces", path.string());
  }
  return token;
}

HubSettings settings_of_environment() {
  HubSettings settings;
  const std::string endpoint = environment("HF_ENDPOINT");
  settings.endpoint =
      endpoint.empty() ? kDefaultEndpoint : checked_endpoint(endpoint, "HF_ENDPOINT");
  settings.token = token_of_environment();
  settings.cache = checkpoint::hub_cache();
  if (settings.cache.empty()) {
    fail(ErrorCode::kNotFound,
         "there is no place to keep models: neither HOME nor HF_HOME is set; set one");
  }
  settings.cache = fs::absolute(settings.cache).lexically_normal();
  settings.is_offline = is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE");
  return settings;
}

}  // namespace llava::hub
