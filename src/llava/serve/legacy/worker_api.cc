// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/legacy/worker_api.h"

#include <algorithm>
#include <utility>

#include "llava/core/base64.h"
#include "llava/core/log.h"
#include "llava/engine/answer.h"
#include "llava/serve/controller/worker_messages.h"
#include "llava/serve/http/streamed_answer.h"
#include "llava/serve/legacy/wire_json.h"
#include "llava/serve/legacy/worker_request.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"
#include "llava/text/conversation.h"
#include "llava/text/text_streamer.h"

namespace llava::serve {
namespace {

constexpr int kWorkerFailed = 1;

OrderedJson record_of(std::string_view text, int error_code) {
  return {{"text", text}, {"error_code", error_code}};
}

/// A stream of records without a content type, as the original sends it.
HttpResponse record_stream_head() { return {.status = 200, .headers = {}, .body = {}}; }

/// Each record holds the prompt and all of the answer so far.
class RecordWriter final : public AnswerWriter {
 public:
  RecordWriter(std::string prompt, bool is_extended, int32_t interval,
               std::shared_ptr<HttpExchange> exchange)
      : text_(std::move(prompt)),
        is_extended_(is_extended),
        interval_(interval),
        answer_(std::move(exchange), record_stream_head()) {}

  /// Takes note of what is new, without sending it.
  void add(const engine::AnswerDelta& delta) {
    if (delta.finish_reason) finish_reason_ = *delta.finish_reason;
    text_ += delta.text;
  }
  const std::string& text() const { return text_; }
  void put(const std::string& text) { answer_.put(stream_record(record_of(text, 0))); }

  void write(const engine::AnswerDelta& delta) override {
    add(delta);
    num_waiting_ += static_cast<int32_t>(delta.tokens.size());
    has_news_ = has_news_ || !delta.text.empty();
    const bool is_due = !answer_.has_started() || num_waiting_ >= interval_ || delta.finish_reason;
    if (!has_news_ || !is_due) return;
    has_news_ = false;
    num_waiting_ = 0;
    put(text_);
  }

  void end(const engine::AnswerUsage& usage) override {
    // Clients read the answer from a record: there is always one.
    if (!answer_.has_started() || is_extended_) return put_last(usage);
    answer_.finish();
  }

  /// All of the answer, and the stream's end.
  void put_last(const engine::AnswerUsage& usage) {
    OrderedJson last = record_of(text_, 0);
    if (is_extended_) {
      last["finish_reason"] = finish_reason_ == engine::FinishReason::kLength ? "length" : "stop";
      last["usage"] = {{"prompt_tokens", usage.prompt_tokens},
                       {"completion_tokens", usage.completion_tokens},
                       {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
    }
    answer_.put(stream_record(last));
    answer_.finish();
  }

  void fail(const ApiError& error) override {
    log_warning("worker_request_failed", {{"error", error.what()}});
    answer_.put(stream_record(record_of(kServerErrorText, kWorkerFailed)));
    answer_.finish();
  }

 private:
  std::string text_;
  bool is_extended_;
  int32_t interval_;
  StreamedAnswer answer_;
  int32_t num_waiting_ = 0;  ///< tokens since the last record
  bool has_news_ = false;
  engine::FinishReason finish_reason_ = engine::FinishReason::kEndToken;
};

/// The records that the original sends: one for each token, with the text up to the last whole
/// word, and one for the rest.
class ExactRecordWriter final : public AnswerWriter {
 public:
  ExactRecordWriter(const text::Tokenizer& tokenizer, std::string prompt, bool is_extended,
                    std::shared_ptr<HttpExchange> exchange)
      : tokenizer_(tokenizer),
        streamer_(tokenizer),
        words_(prompt),
        last_(std::move(prompt), is_extended, /*interval=*/1, std::move(exchange)) {}

  void write(const engine::AnswerDelta& delta) override {
    last_.add(delta);
    for (const engine::TokenChoice& token : delta.tokens) {
      if (token.id < tokenizer_.size()) words_ += streamer_.push(token.id);
      // What may belong to a stop string is held back.
      last_.put(words_.size() <= last_.text().size() ? words_ : last_.text());
    }
  }
  void end(const engine::AnswerUsage& usage) override { last_.put_last(usage); }
  void fail(const ApiError& error) override { last_.fail(error); }

 private:
  const text::Tokenizer& tokenizer_;
  text::TextStreamer streamer_;
  std::string words_;  ///< behind the prompt
  RecordWriter last_;
};

/// Keeps the last record, as plain JSON: /worker_generate of FastChat.
class LastRecordWriter final : public AnswerWriter {
 public:
  LastRecordWriter(std::string prompt, std::shared_ptr<HttpExchange> exchange)
      : text_(std::move(prompt)), exchange_(std::move(exchange)) {}

  void write(const engine::AnswerDelta& delta) override { text_ += delta.text; }
  void end(const engine::AnswerUsage&) override {
    exchange_->respond(make_response(200, "application/json", compact_json(record_of(text_, 0))));
  }
  void fail(const ApiError& error) override {
    log_warning("worker_request_failed", {{"error", error.what()}});
    exchange_->respond(make_response(200, "application/json",
                                     compact_json(record_of(kServerErrorText, kWorkerFailed))));
  }

 private:
  std::string text_;
  std::shared_ptr<HttpExchange> exchange_;
};

/// A stream of one record.
void answer_record(HttpExchange& exchange, std::string_view text, int error_code, bool is_stream) {
  const OrderedJson record = record_of(text, error_code);
  if (!is_stream) {
    exchange.respond(make_response(200, "application/json", compact_json(record)));
    return;
  }
  HttpResponse response = record_stream_head();
  response.body = stream_record(record);
  exchange.start(std::move(response));
  exchange.finish();
}

/// The prompt as the model reads it; both directions of a wrong count are refused before the model
/// sees it, where the original could lose its device.
engine::PreparedPrompt prepare(ModelService& service, const WorkerRequest& request) {
  const engine::Pretrained& pretrained = service.pretrained();
  const int64_t num_places = count_image_places(request.prompt);
  if (std::cmp_not_equal(num_places, request.images.size())) {
    throw ApiError(400, "invalid_image",
                   fmt::format("{} pictures for {} `<image>` in the prompt", request.images.size(),
                               num_places));
  }
  std::vector<engine::PreparedImage> images;
  for (const std::string& image : request.images) {
    const auto bytes = decode_base64_leniently(image);
    if (!bytes) throw ApiError(400, "invalid_image", "a picture is no base64");
    images.push_back(service.pictures().prepare_bytes(*bytes, {.location = {}, .param = "images"}));
  }
  std::string prompt = request.prompt;
  if (pretrained.description.use_im_start_end) {
    constexpr std::string_view kMarked = "<im_start><image><im_end>";
    for (std::size_t at = prompt.find(text::kImageToken); at != std::string::npos;
         at = prompt.find(text::kImageToken, at + kMarked.size())) {
      prompt.replace(at, text::kImageToken.size(), kMarked);
    }
  }
  return engine::prepare_prompt(
      pretrained, engine::tokenize_prompt(pretrained, prompt, /*has_single_begin=*/false), images);
}

void generate(ModelService& service, const LegacyOptions& options, const RouteCall& call,
              bool is_stream) {
  HttpExchange& exchange = *call.exchange;
  try {
    WorkerRequest request = read_worker_request(call.request.body);
    const engine::PreparedPrompt prompt = prepare(service, request);
    const int32_t room = service.max_tokens() - prompt.num_tokens();
    const int32_t wanted = std::min({request.max_new_tokens, options.max_new_tokens, room});
    if (wanted < 1) {
      return answer_record(exchange, request.prompt + std::string(kContextOverflowText), 0,
                           is_stream);
    }
    const bool is_greedy = static_cast<float>(request.temperature) <= kLeastTemperature;
    engine::AnswerOptions answer;
    answer.temperature = is_greedy ? 0.0f : static_cast<float>(request.temperature);
    answer.top_p = static_cast<float>(request.top_p);
    answer.top_k = options.legacy_top_k;
    answer.max_new_tokens = wanted;
    PreparedChat prepared{
        .request = engine::make_request(
            prompt, engine::resolve_params(service.pretrained(), answer, prompt), request.stop),
        .image_tokens = prompt.num_image_tokens(),
        .num_images = static_cast<int32_t>(request.images.size()),
        .received = call.received,
        .cost = call.cost};
    prepared.request.id = call.id;
    prepared.request.client = call.client;
    std::unique_ptr<AnswerWriter> writer;
    if (is_stream && options.legacy_exact_chunks) {
      writer = std::make_unique<ExactRecordWriter>(*service.pretrained().tokenizer,
                                                   std::move(request.prompt), request.is_extended,
                                                   call.exchange);
    } else if (is_stream) {
      writer = std::make_unique<RecordWriter>(std::move(request.prompt), request.is_extended,
                                              options.stream_interval, call.exchange);
    } else {
      writer = std::make_unique<LastRecordWriter>(std::move(request.prompt), call.exchange);
    }
    service.answer(std::move(prepared), call.exchange, std::move(writer));
  } catch (const std::exception& error) {
    // Old clients know no other form of an error.
    log_warning("worker_request_failed", {{"error", error.what()}});
    answer_record(exchange, kServerErrorText, kWorkerFailed, is_stream);
  }
}

void answer_json(const RouteCall& call, const OrderedJson& body) {
  call.exchange->respond(make_response(200, "application/json", compact_json(body)));
}

}  // namespace

WorkerStatus worker_status(ModelService& service, const LegacyOptions& options) {
  const engine::EngineStats stats = service.engine().stats();
  return {.model_names = service.names(),
          .speed = options.speed,
          .queue_length = static_cast<double>(stats.num_running + stats.num_waiting)};
}

void add_worker_routes(Router& router, ModelService& service, const LegacyOptions& options) {
  const auto add_generate = [&](const char* path, bool is_stream) {
    router.add("POST", path, Access::kKey, [&service, options, is_stream](RouteCall call) {
      const auto shared = std::make_shared<RouteCall>(std::move(call));
      service.prepare_later(shared->exchange, [&service, options, shared, is_stream] {
        generate(service, options, *shared, is_stream);
      });
    });
  };
  add_generate("/worker_generate_stream", true);
  add_generate("/worker_generate", false);
  router.add("POST", "/worker_get_status", Access::kKey,
             [&service, options](const RouteCall& call) {
               answer_json(call, worker_status_json(worker_status(service, options)));
             });
  router.add("POST", "/model_details", Access::kKey, [&service](const RouteCall& call) {
    answer_json(call, {{"context_length", service.max_tokens()}});
  });
  router.add("POST", "/count_token", Access::kKey, [&service](const RouteCall& call) {
    const OrderedJson body = parse_body(call.request.body);
    FieldReader reader(body, "");
    const std::string prompt = reader.get_string("prompt").value_or("");
    answer_json(call, {{"count", service.pretrained().tokenizer->encode(prompt).size()},
                       {"error_code", 0}});
  });
}

}  // namespace llava::serve
