// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/routing/api_keys.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <span>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/file.h"

namespace llava::serve {
namespace {

Sha256 digest_of(std::string_view text) { return sha256(std::as_bytes(std::span(text))); }

std::optional<Sha256> parse_hex(std::string_view text) {
  Sha256 digest{};
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const std::string escaped = fmt::format("%{}", text.substr(2 * i, 2));
    // A zero byte is not what percent signs may stand for.
    if (escaped == "%00") continue;
    const auto byte = decode_percent(escaped, false);
    if (!byte || byte->size() != 1) return std::nullopt;
    digest[i] = static_cast<unsigned char>(byte->front());
  }
  return digest;
}

std::string_view cut(std::string_view& rest, char separator) {
  const std::string_view part = rest.substr(0, rest.find(separator));
  rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  return part;
}

ApiKey parse_line(std::string_view line, const std::string& file, std::size_t number) {
  ApiKey key;
  std::string_view rest = line;
  key.name = std::string(cut(rest, ':'));
  const auto digest = parse_hex(cut(rest, ':'));
  if (key.name.empty() || !digest) {
    fail(ErrorCode::kBadFormat,
         "'{}', line {}: expected name:sha256[:rights], the second being 64 hexadecimal digits",
         file, number);
  }
  key.digest = *digest;
  while (!rest.empty()) {
    const std::string_view right = cut(rest, ',');
    if (right != "priority") {
      fail(ErrorCode::kBadFormat, "'{}', line {}: unknown right '{}', known: priority", file,
           number, right);
    }
    key.may_set_priority = true;
  }
  return key;
}

std::vector<ApiKey> read_keys(const std::string& file) {
  constexpr uint64_t kMaxBytes = 1 << 20;
  const std::string text = read_file(file, kMaxBytes);
  std::vector<ApiKey> keys;
  std::size_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = cut(rest, '\n');
    ++number;
    line = line.substr(0, line.find('#'));
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
    if (!line.empty()) keys.push_back(parse_line(line, file, number));
  }
  return keys;
}

std::optional<std::string_view> shown_key(const HttpRequest& request) {
  constexpr std::string_view kBearer = "Bearer ";
  if (const auto header = request.header("Authorization")) {
    if (equals_ignoring_case(header->substr(0, kBearer.size()), kBearer)) {
      return header->substr(kBearer.size());
    }
  }
  return request.header("x-api-key");
}

}  // namespace

ApiKeys::ApiKeys(const std::vector<std::string>& keys, const std::string& file) : file_(file) {
  for (const std::string& key : keys) {
    if (key.empty()) fail(ErrorCode::kInvalidArgument, "--api-key is empty");
    fixed_.push_back({.name = fmt::format("key-{}", fixed_.size() + 1), .digest = digest_of(key)});
  }
  reload();
}

void ApiKeys::reload() {
  std::vector<ApiKey> all = fixed_;
  if (!file_.empty()) {
    for (ApiKey& key : read_keys(file_)) all.push_back(std::move(key));
  }
  keys_.with([&](auto& keys) { keys = std::move(all); });
}

bool ApiKeys::is_open() const { return size() == 0 && file_.empty(); }

std::size_t ApiKeys::size() const {
  return keys_.with([](const auto& keys) { return keys.size(); });
}

std::optional<ApiKey> ApiKeys::find(const HttpRequest& request) const {
  const auto shown = shown_key(request);
  if (!shown) return std::nullopt;
  const Sha256 digest = digest_of(*shown);
  return keys_.with([&](const auto& keys) {
    std::optional<ApiKey> found;
    // All are compared, so that the time tells nothing of the place.
    for (const ApiKey& key : keys) {
      if (CRYPTO_memcmp(key.digest.data(), digest.data(), digest.size()) == 0) found = key;
    }
    return found;
  });
}

}  // namespace llava::serve
