// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/hub_api.h"

#include <utility>

#include "llava/core/error.h"
#include "llava/hub/patience.h"

namespace llava::hub {
namespace {

constexpr std::size_t kMaxListingBytes = 64 << 20;

// The first answer that no further try would change.
HubAnswer send_patiently(HubClient& client, const HubRequest& request, const std::string& what,
                         std::stop_token stop, const std::function<void()>& on_retry = {}) {
  Patience patience(std::move(stop));
  for (;;) {
    HubAnswer answer = client.send(request);
    if (answer.error.empty() && !is_worth_another_try(answer)) return answer;
    patience.wait(answer, what);
    if (on_retry) on_retry();
  }
}

bool is_redirect(const HubAnswer& answer) { return answer.head.status / 100 == 3; }

}  // namespace

void fail_for_status(const HubSettings& settings, const std::string& repo, const std::string& what,
                     const HubAnswer& answer) {
  const std::string& code = answer.head.error_code;
  const int status = answer.head.status;
  const std::string page = settings.endpoint + "/" + repo;
  const bool has_token = !settings.token.empty();
  if (code == "GatedRepo") {
    fail(ErrorCode::kUnavailable, "'{}' is gated: accept its conditions at {} and {}", repo, page,
         has_token ? "use a token of the account that did (HF_TOKEN, --token-file): this one's has "
                     "no access"
                   : "give a token of the account that did (HF_TOKEN, --token-file)");
  }
  if (code == "RevisionNotFound") {
    fail(ErrorCode::kNotFound, "{} has no such revision: {}/tree/main shows its branches and tags",
         what, page);
  }
  if (code == "EntryNotFound") {
    fail(ErrorCode::kNotFound, "{} is not at {} any more: pull the model again", what,
         settings.endpoint);
  }
  // Without a token the hub does not say whether a model is private or not there.
  if (status == 404 || code == "RepoNotFound" || (status == 401 && !has_token)) {
    fail(ErrorCode::kNotFound, "there is no model '{}' at {}, or it is private: check the name{}",
         repo, settings.endpoint,
         has_token ? ", and whether the token's account may see it"
                   : ", or give a token that may see it (HF_TOKEN, --token-file)");
  }
  if (status == 401 || status == 403) {
    fail(ErrorCode::kUnavailable,
         "{} refuses {} ({}): check at {} who has access, and the token (HF_TOKEN, --token-file)",
         settings.endpoint, what, failure_text(answer), page);
  }
  fail(ErrorCode::kUnavailable, "{} answers {} for {}: check the address (HF_ENDPOINT, --endpoint)",
       answer.url, failure_text(answer), what);
}

std::string file_url(const HubSettings& settings, const std::string& repo,
                     const std::string& commit, const std::string& path) {
  return fmt::format("{}/{}/resolve/{}/{}", settings.endpoint, percent_encoded(repo, "/"), commit,
                     percent_encoded(path, "/"));
}

RepoListing fetch_listing(HubClient& client, const HubSettings& settings,
                          const checkpoint::HubName& name, std::stop_token stop) {
  std::string body;
  HubRequest request;
  request.url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", settings.endpoint,
                            percent_encoded(name.repo, "/"),
                            percent_encoded(name.revision.empty() ? "main" : name.revision));
  request.on_bytes = [&body](const ResponseHead&, std::string_view bytes) {
    body += bytes;
    return body.size() <= kMaxListingBytes;
  };
  const std::string what = fmt::format("model '{}'", name.text());
  const HubAnswer answer =
      send_patiently(client, request, what, std::move(stop), [&body] { body.clear(); });
  if (!answer.is_ok()) fail_for_status(settings, name.repo, what, answer);
  return parse_repo_listing(body, fmt::format("the answer of {}", answer.url));
}

void complete_file(HubClient& client, const HubSettings& settings, const std::string& repo,
                   const std::string& commit, RepoFile& file, std::stop_token stop) {
  if (file.size && !file.blob.empty()) return;
  const std::string what = fmt::format("'{}' of '{}'", file.path, repo);
  HubRequest request;
  request.url = file_url(settings, repo, commit, file.path);
  request.is_head = true;
  const HubAnswer answer = send_patiently(client, request, what, std::move(stop));
  if (!answer.is_ok() && !is_redirect(answer)) fail_for_status(settings, repo, what, answer);
  const ResponseHead& head = answer.head;
  if (!head.commit.empty() && head.commit != commit) {
    fail(ErrorCode::kBadFormat, "{} answers with commit '{}', expected '{}': use another mirror",
         request.url, head.commit, commit);
  }
  if (!file.size) file.size = head.file_size();
  if (file.blob.empty() && is_blob_name(head.blob())) file.blob = head.blob();
  if (!file.size || file.blob.empty()) {
    fail(ErrorCode::kBadFormat,
         "{} says neither in its listing nor with the file how large '{}' is and what its hash is: "
         "use another mirror",
         settings.endpoint, file.path);
  }
}

}  // namespace llava::hub
