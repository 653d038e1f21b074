// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/hub_client.h"

#include <curl/curl.h>

#include <cctype>
#include <exception>
#include <utility>

#include "llava/core/check.h"
#include "llava/core/version.h"

namespace llava::hub {
namespace {

constexpr int kMaxRedirects = 5;
constexpr long kConnectTimeoutSeconds = 15;
constexpr long kSilenceTimeoutSeconds = 30;
constexpr std::size_t kMaxHeadBytes = 1 << 18;
constexpr std::size_t kMaxUnwantedBytes = 1 << 20;

CURL* open_curl() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  LLAVA_CHECK(result == CURLE_OK);
  CURL* const curl = curl_easy_init();
  LLAVA_CHECK(curl != nullptr);
  return curl;
}

struct SlistDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Slist = std::unique_ptr<curl_slist, SlistDeleter>;

void append(Slist& list, const std::string& line) {
  curl_slist* const longer = curl_slist_append(list.get(), line.c_str());
  LLAVA_CHECK(longer != nullptr);
  list.release();
  list.reset(longer);
}

// libcurl 7.85 replaced the bit masks by strings; Ubuntu 22.04 has 7.81.
void allow_only_http(CURL* curl) {
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

// Errors that stay whatever the network does.
bool is_hopeless(CURLcode code) {
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
      return true;
    default:
      return false;
  }
}

}  // namespace

/// One request as libcurl's callbacks see it.
struct HubClient::Transfer {
  const HubRequest& request;
  const std::stop_token& stop;
  ResponseHead head = {};
  std::size_t head_bytes = 0;
  std::size_t unwanted_bytes = 0;
  bool is_refused = false;              ///< by the request's own callback
  std::exception_ptr thrown = nullptr;  ///< by it; libcurl must not see it

  static std::size_t on_header(char* bytes, std::size_t size, std::size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    transfer.head_bytes += size * count;
    if (transfer.head_bytes > kMaxHeadBytes) return 0;
    transfer.head.add_line({bytes, size * count});
    return size * count;
  }

  static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    const bool is_wanted = transfer.head.status == 200 || transfer.head.status == 206;
    if (!is_wanted || !transfer.request.on_bytes) {
      // What a server says besides an error is read, so that the connection can go on, to an end.
      transfer.unwanted_bytes += size * count;
      return transfer.unwanted_bytes <= kMaxUnwantedBytes ? size * count : 0;
    }
    try {
      if (transfer.request.on_bytes(transfer.head, {bytes, size * count})) return size * count;
      transfer.is_refused = true;
    } catch (...) {
      transfer.thrown = std::current_exception();
    }
    return 0;
  }

  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->stop.stop_requested() ? 1 : 0;
  }
};

HubClient::HubClient(const HubSettings& settings, std::stop_token stop)
    : settings_(settings),
      origin_(origin_of(settings.endpoint)),
      stop_(std::move(stop)),
      curl_(open_curl(), &curl_easy_cleanup) {}

void HubClient::send_once(const HubRequest& request, HubAnswer& answer) {
  CURL* const curl = curl_.get();
  curl_easy_reset(curl);  // keeps the connections
  Transfer transfer{.request = request, .stop = stop_};
  const std::string agent = fmt::format("llava/{}", kVersion);
  Slist headers;
  // The hash is that of the file as it is, not as a server might pack it on the way.
  append(headers, "Accept-Encoding: identity");
  if (!settings_.token.empty() && origin_of(answer.url) == origin_) {
    append(headers, "Authorization: Bearer " + settings_.token);
  }
  const std::string range =
      request.end > 0 ? fmt::format("{}-{}", request.begin, request.end - 1) : std::string();
  curl_easy_setopt(curl, CURLOPT_URL, answer.url.c_str());
  allow_only_http(curl);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, agent.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  if (request.is_head) curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  if (!range.empty()) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectTimeoutSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kSilenceTimeoutSeconds);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  const CURLcode result = curl_easy_perform(curl);
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  answer.head = transfer.head;
  answer.error = result == CURLE_OK ? "" : curl_easy_strerror(result);
  answer.is_hopeless = is_hopeless(result);
  if (transfer.is_refused) {
    answer.error = "the answer is not what was asked for";
    answer.is_hopeless = true;
  }
}

HubAnswer HubClient::send(const HubRequest& request) {
  if (settings_.is_offline) {
    fail(ErrorCode::kUnavailable,
         "'{}' was asked for, but HF_HUB_OFFLINE or --offline forbids every request", request.url);
  }
  HubAnswer answer;
  answer.url = request.url;
  for (int num_redirects = 0;; ++num_redirects) {
    send_once(request, answer);
    char* target = nullptr;
    curl_easy_getinfo(curl_.get(), CURLINFO_REDIRECT_URL, &target);
    if (!answer.error.empty() || target == nullptr || answer.head.status / 100 != 3) return answer;
    const std::string next = target;
    // The head of a redirect to a large file is the one that describes the file.
    if (request.is_head && origin_of(next) != origin_) return answer;
    if (num_redirects == kMaxRedirects ||
        (answer.url.starts_with("https:") && !next.starts_with("https:"))) {
      answer.error = num_redirects == kMaxRedirects
                         ? fmt::format("more than {} redirects", kMaxRedirects)
                         : fmt::format("a redirect from https to '{}'", next);
      answer.is_hopeless = true;
      return answer;
    }
    answer.url = next;
  }
}

std::string origin_of(const std::string& url) {
  struct UrlDeleter {
    void operator()(CURLU* parts) const { curl_url_cleanup(parts); }
  };
  const std::unique_ptr<CURLU, UrlDeleter> parts(curl_url());
  LLAVA_CHECK(parts != nullptr);
  if (curl_url_set(parts.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return {};
  std::string origin;
  for (const auto& [part, end] :
       {std::pair(CURLUPART_SCHEME, "://"), {CURLUPART_HOST, ":"}, {CURLUPART_PORT, ""}}) {
    char* text = nullptr;
    if (curl_url_get(parts.get(), part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
    origin += text;
    origin += end;
    curl_free(text);
  }
  for (char& c : origin) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return origin.starts_with("http://") || origin.starts_with("https://") ? origin : std::string();
}

std::string percent_encoded(std::string_view text, std::string_view kept) {
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = std::isalnum(byte) != 0 && byte < 0x80;
    if (is_plain || std::string_view("-._~").find(c) != std::string_view::npos ||
        kept.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", byte);
    }
  }
  return encoded;
}

}  // namespace llava::hub
