// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/sglang/sglang_api.h"

#include <utility>

#include "llava/core/version.h"
#include "llava/serve/http/streamed_answer.h"
#include "llava/serve/openai/chat_writer.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"
#include "llava/serve/sglang/generate_request.h"
#include "llava/serve/sglang/prompt_scores.h"

namespace llava::serve {
namespace {

/// SGLang's errors have their message only.
HttpResponse message_response(const ApiError& error) {
  return json_response({{"error", {{"message", error.what()}}}}, error.status());
}

OrderedJson finish_json(engine::FinishReason reason, const std::string& stop_string,
                        int32_t num_tokens) {
  if (reason == engine::FinishReason::kLength) return {{"type", "length"}, {"length", num_tokens}};
  if (reason == engine::FinishReason::kCancelled) return {{"type", "abort"}};
  OrderedJson json = {{"type", "stop"}};
  json["matched"] = stop_string.empty() ? OrderedJson() : OrderedJson(stop_string);
  return json;
}

/// The answers of all prompts and choices of a request, in one list or one stream whose events hold
/// all of a text so far.
class GenerateAnswer : public std::enable_shared_from_this<GenerateAnswer> {
 public:
  GenerateAnswer(GenerateRequest request, std::string id, const text::Tokenizer& tokenizer,
                 std::shared_ptr<HttpExchange> exchange)
      : request_(std::move(request)),
        id_(std::move(id)),
        tokenizer_(tokenizer),
        exchange_(std::move(exchange)),
        answer_(exchange_, event_stream_head()),
        choices_(request_.completion.prompts.size() * static_cast<std::size_t>(num_choices())) {}

  /// What is known of a prompt before it is computed: its length, and what of it is not scored.
  void describe_prompt(std::size_t index, int32_t num_tokens, const std::vector<int32_t>& context,
                       bool is_scored) {
    Choice& choice = choices_.at(index);
    choice.prompt_tokens = num_tokens;
    choice.is_scored = is_scored;
    // The first token has nothing before it.
    if (request_.has_logprobs && request_.logprob_start == 0 && !context.empty()) {
      choice.scores.add_first(context.front());
    }
  }

  std::unique_ptr<AnswerWriter> writer_of(int32_t prompt) {
    return std::make_unique<Writer>(shared_from_this(), prompt);
  }

 private:
  struct Choice {
    std::string text;
    int32_t num_tokens = 0;
    int32_t prompt_tokens = 0;  ///< of a request without an answer
    bool is_scored = false;     ///< the same
    PromptScores scores;
    OrderedJson finish_reason;
    OrderedJson logprobs = OrderedJson::array();
    engine::AnswerUsage usage;
  };

  class Writer final : public AnswerWriter {
   public:
    Writer(std::shared_ptr<GenerateAnswer> answer, int32_t prompt)
        : answer_(std::move(answer)), prompt_(prompt) {}
    void write(const engine::AnswerDelta& delta) override { answer_->write(prompt_, delta); }
    void end(const engine::AnswerUsage& usage) override { answer_->end(prompt_, usage); }
    void fail(const ApiError& error) override { answer_->fail(error); }

   private:
    std::shared_ptr<GenerateAnswer> answer_;
    int32_t prompt_;
  };

  int32_t num_choices() const { return request_.completion.generation.num_choices; }
  bool is_streamed() const { return request_.completion.generation.is_streamed; }
  bool is_list() const { return request_.is_list || num_choices() > 1; }

  OrderedJson choice_json(std::size_t index) const {
    const Choice& choice = choices_.at(index);
    OrderedJson meta = {{"id", is_list() ? fmt::format("{}-{}", id_, index) : id_}};
    meta["finish_reason"] = choice.finish_reason;
    meta["prompt_tokens"] = choice.usage.prompt_tokens;
    meta["completion_tokens"] = choice.num_tokens;
    meta["cached_tokens"] = choice.usage.cached_tokens;
    meta["e2e_latency"] = (choice.usage.first_token_ms + choice.usage.decode_ms) / 1000;
    if (request_.has_logprobs) meta["output_token_logprobs"] = choice.logprobs;
    if (request_.has_no_answer) {
      meta["prompt_tokens"] = choice.prompt_tokens;
      if (request_.has_logprobs) choice.scores.write(tokenizer_, meta);
    }
    OrderedJson json = {{"text", choice.text}};
    json["meta_info"] = std::move(meta);
    if (is_streamed() && is_list()) json["index"] = index;
    return json;
  }

  void write(int32_t prompt, const engine::AnswerDelta& delta) {
    const auto index = static_cast<std::size_t>(prompt * num_choices() + delta.choice);
    Choice& choice = choices_.at(index);
    if (request_.has_no_answer) return take_scores(choice, delta);
    choice.text += delta.text;
    choice.num_tokens += static_cast<int32_t>(delta.tokens.size());
    if (request_.has_logprobs) {
      for (const engine::TokenChoice& token : delta.tokens) {
        choice.logprobs.push_back({token.logprob, token.id, tokenizer_.token_text(token.id)});
      }
    }
    if (delta.finish_reason) {
      choice.finish_reason =
          finish_json(*delta.finish_reason, delta.stop_string, choice.num_tokens);
    }
    if (is_streamed() && !is_over_ && !delta.text.empty())
      answer_.put(event_of(choice_json(index)));
  }

  void take_scores(Choice& choice, const engine::AnswerDelta& delta) const {
    if (request_.has_logprobs && choice.is_scored) choice.scores.add(delta.tokens);
    if (delta.finish_reason) choice.finish_reason = {{"type", "length"}, {"length", 0}};
  }

  void end(int32_t prompt, const engine::AnswerUsage& usage) {
    for (int32_t i = 0; i < num_choices(); ++i) {
      const auto index = static_cast<std::size_t>(prompt * num_choices() + i);
      choices_.at(index).usage = usage;
      if (is_streamed() && !is_over_) answer_.put(event_of(choice_json(index)));
    }
    if (++num_ended_ < request_.completion.prompts.size() || std::exchange(is_over_, true)) return;
    if (is_streamed()) {
      answer_.put(std::string(kLastEvent));
      return answer_.finish();
    }
    OrderedJson all = OrderedJson::array();
    for (std::size_t i = 0; i < choices_.size(); ++i) all.push_back(choice_json(i));
    exchange_->respond(json_response(is_list() ? all : all.front()));
  }

  void fail(const ApiError& error) {
    if (std::exchange(is_over_, true)) return;
    if (!answer_.has_started()) return exchange_->respond(message_response(error));
    answer_.put(event_of({{"error", {{"message", error.what()}}}}));
    answer_.put(std::string(kLastEvent));
    answer_.finish();
  }

  GenerateRequest request_;
  std::string id_;
  const text::Tokenizer& tokenizer_;
  std::shared_ptr<HttpExchange> exchange_;
  StreamedAnswer answer_;
  std::vector<Choice> choices_;
  std::size_t num_ended_ = 0;
  bool is_over_ = false;
};

/// Runs `function`; what it throws is answered in SGLang's form.
template <class Function>
void with_message_errors(HttpExchange& exchange, Function function) {
  try {
    function();
  } catch (const ApiError& error) {
    exchange.respond(message_response(error));
  } catch (const Error& error) {
    exchange.respond(message_response(to_api_error(error)));
  }
}

void answer_generate(ModelService& service, const RouteCall& call, GenerateRequest request) {
  std::vector<PreparedChat> prepared = service.prepare(request.completion, call);
  const std::string id = request.id.empty() ? call.id : request.id;
  const bool has_no_answer = request.has_no_answer;
  const bool has_logprobs = request.has_logprobs;
  const int32_t logprob_start = request.logprob_start;
  const auto answer = std::make_shared<GenerateAnswer>(
      std::move(request), id, *service.pretrained().tokenizer, call.exchange);
  for (std::size_t i = 0; i < prepared.size(); ++i) {
    engine::GenerationRequest& each = prepared[i].request;
    each.id = id;
    if (!has_no_answer) continue;
    const auto num_tokens = static_cast<int32_t>(each.prompt.ids.size());
    const bool is_scored = has_logprobs && split_for_scores(each, logprob_start);
    answer->describe_prompt(i, num_tokens, each.prompt.ids, is_scored);
  }
  service.answer_all(std::move(prepared), call.exchange,
                     [&](int32_t prompt) { return answer->writer_of(prompt); });
}

void generate(ModelService& service, const std::shared_ptr<RouteCall>& call) {
  with_message_errors(*call->exchange, [&] {
    const auto request = std::make_shared<GenerateRequest>(
        read_generate_request(parse_body(call->request.body), service.limits()));
    service.with_images(*call, request->completion.images, [&service, call, request] {
      with_message_errors(*call->exchange,
                          [&] { answer_generate(service, *call, std::move(*request)); });
    });
  });
}

OrderedJson model_info(const ModelService& service) {
  return {{"model_path", service.names().front()},
          {"tokenizer_path", service.names().front()},
          {"is_generation", true},
          {"has_image_understanding", service.pretrained().has_vision()},
          {"max_total_num_tokens", service.max_tokens()}};
}

}  // namespace

void add_sglang_routes(Router& router, ModelService& service) {
  const auto add_generate = [&router, &service](const char* method) {
    router.add(method, "/generate", Access::kKey, [&service](RouteCall call) {
      const auto shared = std::make_shared<RouteCall>(std::move(call));
      service.prepare_later(shared->exchange, [&service, shared] { generate(service, shared); });
    });
  };
  add_generate("POST");
  add_generate("PUT");
  router.add("GET", "/get_model_info", Access::kKey, [&service](const RouteCall& call) {
    call.exchange->respond(json_response(model_info(service)));
  });
  router.add("GET", "/get_server_info", Access::kKey, [&service](const RouteCall& call) {
    OrderedJson info = model_info(service);
    info["version"] = kVersion;
    call.exchange->respond(json_response(info));
  });
}

}  // namespace llava::serve
