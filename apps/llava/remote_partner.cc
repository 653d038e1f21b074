// SPDX-License-Identifier: Apache-2.0
#include "remote_partner.h"

#include <algorithm>
#include <cctype>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <span>
#include <utility>

#include "llava/core/base64.h"
#include "llava/core/error.h"
#include "llava/image/decode.h"
#include "llava/serve/client/event_splitter.h"
#include "llava/serve/client/served_models.h"

namespace llava::app {
namespace {

using serve::HttpHeader;
using serve::OutgoingEnd;
using serve::OutgoingRequest;

// A long prompt may wait for its turn and be computed for minutes before its first token.
constexpr std::chrono::seconds kLongestSilence{600};
constexpr std::size_t kKeptOfARefusal = 4096;

std::string without_end(std::string address, std::string_view end) {
  if (address.ends_with(end)) address.resize(address.size() - end.size());
  return address;
}

std::vector<HttpHeader> headers_of(const ChatOptions& options) {
  std::string key = options.api_key;
  if (const char* known = std::getenv("OPENAI_API_KEY"); key.empty() && known != nullptr) {
    key = known;
  }
  if (key.empty()) return {};
  return {{"Authorization", "Bearer " + key}};
}

std::string media_type(std::string_view bytes) {
  std::string name(image::format_name(std::as_bytes(std::span(bytes))));
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name.empty() ? "application/octet-stream" : "image/" + name;
}

// What a server says about a request that it does not answer.
std::string message_of(const std::string& body) {
  const Json answer = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  const Json::json_pointer message("/error/message");
  if (!answer.is_discarded() && answer.contains(message) && answer[message].is_string()) {
    return answer[message].get<std::string>();
  }
  return body.substr(0, 200);
}

// One answer on its way from the client's thread.
class Arrival {
 public:
  // On the client's thread.
  void take_head(int status) { status_ = status; }
  void take(std::string_view bytes) {
    if (status_ != 200) {
      refusal_.append(
          bytes.substr(0, kKeptOfARefusal - std::min(kKeptOfARefusal, refusal_.size())));
      return;
    }
    events_.push(bytes, [this](std::string_view data) {
      if (data == "[DONE]") return;
      const Json event = parse_json(data, "the server's event");
      const Json::json_pointer text("/choices/0/delta/content");
      if (event.contains("error")) {
        fail(ErrorCode::kUnavailable, "{}", message_of(std::string(data)));
      }
      if (!event.contains(text) || !event[text].is_string()) return;
      const std::lock_guard lock(mutex_);
      text_ += event[text].get_ref<const std::string&>();
      changed_.notify_all();
    });
  }
  void take_end(const OutgoingEnd& end) {
    const std::lock_guard lock(mutex_);
    end_ = end;
    changed_.notify_all();
  }

  /// Text that has come since; empty when there will be no more.
  std::string next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !text_.empty() || end_; });
    return std::exchange(text_, {});
  }
  /// Throws: Error when the answer is not whole. After the last `next`.
  void check(const std::string& address) const {
    if (end_->status != 0 && end_->status != 200) {
      const bool is_ours = end_->status >= 400 && end_->status < 500;
      fail(is_ours ? ErrorCode::kInvalidArgument : ErrorCode::kUnavailable,
           "'{}' answers with status {}: {}", address, end_->status, message_of(refusal_));
    }
    if (!end_->error.empty()) {
      fail(ErrorCode::kUnavailable, "'{}' did not answer to the end: {}", address, end_->error);
    }
  }

 private:
  // The client's thread's.
  int status_ = 0;
  std::string refusal_;
  serve::EventSplitter events_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  std::optional<OutgoingEnd> end_;
};

}  // namespace

RemotePartner::RemotePartner(const ChatOptions& options)
    : options_(options), address_(without_end(without_end(options.server, "/"), "/v1")) {
  model_ = options.load.model_path;
  if (model_.empty()) model_ = serve::first_model(http_, address_, headers_of(options));
  begin(options.image_file);
}

void RemotePartner::begin(const std::vector<std::string>& pictures) {
  std::vector<std::string> urls;
  for (const std::string& location : pictures) {
    const std::string bytes = read_picture(location);
    urls.push_back(fmt::format("data:{};base64,{}", media_type(bytes), encode_base64(bytes)));
  }
  picture_urls_ = std::move(urls);
  reset();
}

std::string RemotePartner::answer(const std::string& question,
                                  const std::function<void(std::string_view text)>& show,
                                  std::stop_token stop) {
  OrderedJson messages = messages_;
  if (messages.empty() && !picture_urls_.empty()) {
    OrderedJson content = OrderedJson::array();
    for (const std::string& url : picture_urls_) {
      content.push_back({{"type", "image_url"}, {"image_url", {{"url", url}}}});
    }
    content.push_back({{"type", "text"}, {"text", question}});
    messages.push_back({{"role", "user"}, {"content", std::move(content)}});
  } else {
    messages.push_back({{"role", "user"}, {"content", question}});
  }
  show({});
  const auto arrival = std::make_shared<Arrival>();
  const auto call = http_.start(
      request(messages),
      {.on_bytes = [arrival](std::string_view bytes) { arrival->take(bytes); },
       .on_end = [arrival](const OutgoingEnd& end) { arrival->take_end(end); },
       .on_head = [arrival](int status,
                            const std::vector<HttpHeader>&) { arrival->take_head(status); }});
  std::string text;
  {
    const std::stop_callback cancel(stop, [&call] { call->cancel(); });
    for (std::string more = arrival->next(); !more.empty(); more = arrival->next()) {
      show(more);
      text += more;
    }
  }
  if (!stop.stop_requested()) arrival->check(address_);
  messages.push_back({{"role", "assistant"}, {"content", text}});
  messages_ = std::move(messages);
  return text;
}

OutgoingRequest RemotePartner::request(const OrderedJson& messages) const {
  const engine::AnswerOptions& answer = options_.answer;
  OrderedJson body{{"model", model_},
                   {"messages", messages},
                   {"stream", true},
                   {"temperature", answer.temperature},
                   {"max_tokens", answer.max_new_tokens}};
  // A server need not know what nobody asked for.
  if (answer.top_p) body["top_p"] = *answer.top_p;
  if (answer.top_k) body["top_k"] = *answer.top_k;
  if (answer.repetition_penalty) body["repetition_penalty"] = *answer.repetition_penalty;
  if (answer.min_p != 0) body["min_p"] = answer.min_p;
  if (answer.presence_penalty != 0) body["presence_penalty"] = answer.presence_penalty;
  if (answer.frequency_penalty != 0) body["frequency_penalty"] = answer.frequency_penalty;
  if (!answer.stop.empty()) body["stop"] = answer.stop;
  if (answer.seed) body["seed"] = *answer.seed;
  if (!answer.json_schema.empty()) {
    body["response_format"] = {
        {"type", "json_schema"},
        {"json_schema",
         {{"name", "answer"},
          {"schema",
           parse_ordered_json(engine::text_or_file(answer.json_schema), "--json-schema")}}}};
  }
  if (!answer.grammar.empty()) {
    body["grammar"] = engine::text_or_file(answer.grammar);
  }
  OutgoingRequest request{.url = address_ + "/v1/chat/completions",
                          .body = to_text(body),
                          .headers = headers_of(options_)};
  request.silence_time = kLongestSilence;
  return request;
}

}  // namespace llava::app
