// SPDX-License-Identifier: Apache-2.0
#include "fetch.h"

#include <curl/curl.h>

#include <memory>

#include "llava/core/check.h"
#include "llava/core/version.h"

namespace llava::app {
namespace {

constexpr long kConnectTimeoutSeconds = 15;
constexpr long kTimeoutSeconds = 120;
constexpr long kMaxRedirects = 5;

struct Body {
  std::string bytes;
  uint64_t max_bytes;
  bool is_too_large = false;
};

size_t append(char* data, size_t size, size_t count, void* target) {
  auto& body = *static_cast<Body*>(target);
  const size_t num_bytes = size * count;
  if (body.bytes.size() + num_bytes > body.max_bytes) {
    body.is_too_large = true;
    return 0;
  }
  body.bytes.append(data, num_bytes);
  return num_bytes;
}

// libcurl 7.85 replaced the bit masks by strings; Ubuntu 22.04 has 7.81.
void allow_only_http(CURL* curl) {
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

}  // namespace

std::string fetch(const std::string& address, uint64_t max_bytes) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle(curl_easy_init(),
                                                                   curl_easy_cleanup);
  LLAVA_CHECK(handle != nullptr);
  CURL* curl = handle.get();
  Body body{.bytes = {}, .max_bytes = max_bytes};
  const std::string agent = fmt::format("llava/{}", kVersion);
  curl_easy_setopt(curl, CURLOPT_URL, address.c_str());
  allow_only_http(curl);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kMaxRedirects);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectTimeoutSeconds);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, kTimeoutSeconds);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, agent.c_str());
  // Refused by what the server announces; append() holds those to it that announce nothing.
  curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(max_bytes));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
  const CURLcode result = curl_easy_perform(curl);
  if (body.is_too_large || result == CURLE_FILESIZE_EXCEEDED) {
    fail(ErrorCode::kBadFormat, "'{}' has more than {} bytes, the most a picture may have", address,
         max_bytes);
  }
  if (result != CURLE_OK) {
    fail(ErrorCode::kUnavailable, "cannot fetch '{}': {}: check the address and the network",
         address, curl_easy_strerror(result));
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    fail(ErrorCode::kUnavailable, "cannot fetch '{}': the server answered with status {}", address,
         status);
  }
  return std::move(body.bytes);
}

}  // namespace llava::app
