// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/chat/model_service.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <random>
#include <thread>
#include <utility>

#include "llava/core/log.h"
#include "llava/core/version.h"
#include "llava/engine/dialogue.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

/// Names of unknown fields that are remembered, so that each is logged once.
constexpr std::size_t kMaxLoggedFields = 256;
/// Requests that may wait for it; their bodies are bounded by the server.
constexpr int32_t kMaxPreparing = 256;
/// Of the time for its turn, what a request may be expected to wait. Half: who is refused at once
/// can go elsewhere, who is refused after waiting has lost that time, and estimates have their
/// error.
constexpr double kSurely = 0.5;

int32_t num_threads_of(const ServiceOptions& options) {
  if (options.preprocess_threads > 0) return options.preprocess_threads;
  return std::clamp(static_cast<int32_t>(std::thread::hardware_concurrency() / 2), 1, 8);
}

std::shared_ptr<const text::grammar::Vocabulary> vocabulary_of(
    const engine::Pretrained& pretrained) {
  return std::make_shared<const text::grammar::Vocabulary>(
      *pretrained.tokenizer, pretrained.end_ids(),
      std::min(pretrained.num_allowed_ids(), pretrained.tokenizer->size()));
}

std::vector<std::string> names_of(const engine::Pretrained& pretrained,
                                  const ServiceOptions& options) {
  if (!options.served_model_name.empty()) return options.served_model_name;
  return {pretrained.name};
}

ImageLimits image_limits_of(const ServiceOptions& options) {
  ImageLimits limits;
  limits.max_bytes = static_cast<uint64_t>(options.max_image_bytes);
  limits.max_pixels = options.max_image_pixels;
  limits.reduces_large_jpeg = options.fast_jpeg;
  limits.media_folder = options.allowed_media_path;
  return limits;
}

ImageFetchLimits fetch_limits_of(uint64_t max_image_bytes) {
  ImageFetchLimits limits;
  limits.max_bytes = max_image_bytes;
  limits.max_held_bytes = std::max(limits.max_held_bytes, max_image_bytes);
  return limits;
}

std::chrono::milliseconds to_ms(float seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

}  // namespace

ModelService::ModelService(const engine::Pretrained& pretrained, engine::Engine& engine,
                           const ServiceOptions& options, RateLimits* rate_limits)
    : pretrained_(pretrained),
      engine_(engine),
      options_(options),
      rate_limits_(rate_limits),
      times_{.queue = to_ms(options.queue_timeout),
             .total = to_ms(options.request_timeout),
             .gap = to_ms(options.token_gap_timeout)},
      names_(names_of(pretrained, options)),
      metrics_(names_.front(), options.metrics_compat),
      accounts_{.metrics = metrics_,
                .load = load_,
                .engine = engine,
                .rate_limits = rate_limits,
                .model = names_.front()},
      conv_mode_(engine::choose_conv_mode(pretrained, options.conv_mode)),
      image_order_(options.image_order == "first" ? ImageOrder::kFirst : ImageOrder::kPreserve),
      image_limits_(image_limits_of(options)),
      files_(options.max_files_bytes),
      grammars_(vocabulary_of(pretrained)),
      pictures_(pretrained, image_limits_, metrics_),
      pool_(static_cast<std::size_t>(num_threads_of(options))) {
  fingerprint_ = fmt::format("llava-{}", kVersion);
  limits_.max_images = options.max_images;
  limits_.ignores_tools = options.tools_policy == "ignore";
  limits_.generation = {.max_choices = options.max_n,
                        .default_max_tokens = options.default_max_tokens};
  if (options.image_urls.image_url_policy != "off") {
    fetcher_ = std::make_unique<ImageFetcher>(options.image_urls,
                                              fetch_limits_of(image_limits_.max_bytes));
  }
  if (!conv_mode_.empty()) {
    const auto stop = text::stop_string(text::find_conversation_template(conv_mode_));
    if (stop) template_stop_.push_back(*stop);
  }
  engine_.watch_steps([this](const engine::StepRecord& step) { metrics_.count_step(step); });
}

ModelService::~ModelService() {
  stop();
  engine_.watch_steps({});
}

void ModelService::stop() {
  is_stopped_.with([](bool& is_stopped) { is_stopped = true; });
  pool_.join();
  fetcher_ = nullptr;
  open_answers_.with([](auto& answers) {
    for (const OpenAnswer& answer : answers) {
      if (const auto stream = answer.stream.lock()) stream->cancel();
    }
  });
  engine_.wait_until_idle();
}

int32_t ModelService::max_tokens() const {
  return std::min(pretrained_.context_length(), engine_.capacity_tokens());
}

bool ModelService::is_idle() const {
  if (num_preparing_.load() > 0) return false;
  const engine::EngineStats stats = engine_.stats();
  return stats.num_running == 0 && stats.num_waiting == 0;
}

std::shared_ptr<void> ModelService::count_preparing() {
  if (num_preparing_.fetch_add(1) >= kMaxPreparing) {
    num_preparing_.fetch_sub(1);
    ApiError error(503, "overloaded", "too many requests wait for their pictures to be read");
    error.retry_after = 1;
    throw error;
  }
  return {nullptr, [this](void*) { num_preparing_.fetch_sub(1); }};
}

void ModelService::prepare_later(std::shared_ptr<HttpExchange> exchange,
                                 std::function<void()> task) {
  auto run = [exchange = std::move(exchange), task = std::move(task),
              count = count_preparing()]() mutable {
    try {
      // Nobody is left to tell.
      if (!exchange->is_closed()) task();
    } catch (...) {
      answer_exception(*exchange);
    }
    // What the request held is free before it counts as prepared.
    task = nullptr;
    count = nullptr;
  };
  const bool is_taken = is_stopped_.with([&](const bool& is_stopped) {
    if (!is_stopped) boost::asio::post(pool_, std::move(run));
    return !is_stopped;
  });
  if (!is_taken) throw ApiError(503, "draining", "this server is about to stop; ask another");
}

void ModelService::with_images(const RouteCall& call, std::vector<ImageSource>& images,
                               std::function<void()> task) {
  std::vector<ImageSource*> remote;
  for (ImageSource& image : images) {
    if (!image.file_id.empty()) {
      const auto file = files_.find(call.owner, image.file_id);
      if (!file) {
        throw ApiError(404, "not_found",
                       fmt::format("{}: there is no file '{}'", image.param, image.file_id),
                       image.param);
      }
      image.bytes = file->bytes;
    } else if (fetcher_ && is_network_address(image)) {
      remote.push_back(&image);
    }
  }
  if (remote.empty()) return task();
  const std::shared_ptr<HttpExchange>& exchange = call.exchange;

  struct Waiting {
    std::shared_ptr<void> count;
    std::atomic<std::size_t> num_left;
    std::atomic<const ImageSource*> failed = nullptr;
    std::function<void()> task;
  };
  const auto waiting = std::make_shared<Waiting>(count_preparing(), remote.size());
  waiting->task = std::move(task);
  const auto go_on = [this, exchange, waiting] {
    try {
      if (const ImageSource* failed = waiting->failed) throw image_fetch_error(*failed);
      prepare_later(exchange, std::move(waiting->task));
    } catch (...) {
      answer_exception(*exchange);
    }
  };
  std::vector<std::function<void()>> cancels;
  for (ImageSource* const source : remote) {
    cancels.push_back(
        fetcher_->fetch(source->location, [this, source, waiting, go_on](FetchedImage image) {
          metrics_.count_image_fetch(image.time.count());
          if (!image.is_ok) {
            metrics_.count_image_failure("image_fetch_failed");
            waiting->failed = source;
          }
          // The bytes count as held as long as anybody has them.
          const auto held = std::make_shared<FetchedImage>(std::move(image));
          source->bytes = std::shared_ptr<const std::string>(held, &held->bytes);
          if (--waiting->num_left == 0) go_on();
        }));
  }
  exchange->on_close([cancels](CloseReason) {
    for (const auto& cancel : cancels) cancel();
  });
}

std::shared_ptr<engine::AnswerStream> ModelService::answer(PreparedChat prepared,
                                                           std::shared_ptr<HttpExchange> exchange,
                                                           std::unique_ptr<AnswerWriter> writer) {
  return begin(std::move(prepared), std::move(exchange), std::move(writer)).stream;
}

CountedRequest ModelService::counted_request(const PreparedChat& prepared) const {
  const engine::GenerationRequest& request = prepared.request;
  const std::chrono::duration<double, std::milli> time =
      std::chrono::steady_clock::now() - prepared.received;
  return {.client = request.client,
          .image_tokens = prepared.image_tokens,
          .num_images = prepared.num_images,
          .num_choices = request.num_choices,
          .max_new_tokens = request.params.max_new_tokens,
          .reserved_tokens = prepared.max_tokens(),
          .preprocess_ms = time.count(),
          .prompt = prepared.prompt_text,
          .cost = prepared.cost};
}

ModelService::BegunAnswer ModelService::begin(PreparedChat prepared,
                                              std::shared_ptr<HttpExchange> exchange,
                                              std::unique_ptr<AnswerWriter> writer) {
  refuse_late();
  if (rate_limits_ != nullptr) {
    rate_limits_->take(prepared.request.client, prepared.max_tokens(), prepared.num_images);
  }
  auto counted =
      std::make_unique<CountedWriter>(std::move(writer), accounts_, counted_request(prepared));
  OpenAnswer open{.id = prepared.request.id, .client = prepared.request.client, .stream = {}};
  std::shared_ptr<engine::AnswerStream> stream;
  try {
    stream = engine_.submit(std::move(prepared.request));
  } catch (const Error& error) {
    counted->take_back();
    if (error.code() != ErrorCode::kUnavailable) throw;
    throw with_retry_after(ApiError(503, "overloaded", error.what()), accounts_);
  }
  open.stream = stream;
  open_answers_.with([&](auto& answers) {
    std::erase_if(answers, [](const auto& each) { return each.stream.expired(); });
    answers.push_back(std::move(open));
  });
  auto on_close = pump_answer(stream, std::move(exchange), std::move(counted), times_);
  return {.stream = std::move(stream), .on_close = std::move(on_close)};
}

int32_t ModelService::abort(const std::string& id, const std::string& client) {
  return open_answers_.with([&](auto& answers) {
    int32_t count = 0;
    for (const OpenAnswer& answer : answers) {
      if (answer.id != id || (!client.empty() && answer.client != client)) continue;
      if (const auto stream = answer.stream.lock(); stream && !stream->is_ended()) {
        stream->cancel();
        ++count;
      }
    }
    return count;
  });
}

void ModelService::refuse_late() const {
  if (!options_.shed_late || options_.queue_timeout == 0) return;
  const engine::EngineStats stats = engine_.stats();
  if (load_.wait_ms(stats.num_waiting) <= kSurely * static_cast<double>(times_.queue.count()))
    return;
  throw with_retry_after(
      ApiError(503, "overloaded",
               fmt::format("{} requests wait already, and this one's turn would come too "
                           "late",
                           stats.num_waiting)),
      accounts_);
}

std::vector<std::shared_ptr<engine::AnswerStream>> ModelService::answer_all(
    std::vector<PreparedChat> prepared, const std::shared_ptr<HttpExchange>& exchange,
    FunctionRef<std::unique_ptr<AnswerWriter>(int32_t)> writer_of) {
  std::vector<std::shared_ptr<engine::AnswerStream>> streams;
  std::vector<std::function<void(CloseReason)>> ends;
  try {
    for (PreparedChat& each : prepared) {
      const auto index = static_cast<int32_t>(streams.size());
      BegunAnswer begun = begin(std::move(each), exchange, writer_of(index));
      streams.push_back(std::move(begun.stream));
      ends.push_back(std::move(begun.on_close));
    }
  } catch (...) {
    for (const auto& stream : streams) stream->cancel();
    throw;
  }
  exchange->on_close([ends](CloseReason reason) {
    for (const auto& end : ends) end(reason);
  });
  return streams;
}

void ModelService::check_model(const std::string& name) const {
  if (name.empty() || std::ranges::find(names_, name) != names_.end()) return;
  throw ApiError(
      404, "model_not_found",
      fmt::format("the model '{}' is not served here; there is '{}'", name, names_.front()),
      "model");
}

void ModelService::check_unknown(const std::vector<std::string>& fields) {
  for (const std::string& field : fields) {
    if (options_.strict_params) {
      throw ApiError(400, "unknown_parameter",
                     field +
                         ": this server knows no such field and was started with "
                         "--strict-params; leave it out",
                     field);
    }
    const bool is_new = unknown_fields_.with(
        [&](auto& known) { return known.size() < kMaxLoggedFields && known.insert(field).second; });
    if (is_new) log_info("unknown_field", {{"name", field}});
  }
}

EventStreamOptions ModelService::event_options() const {
  return {.has_early_headers = options_.early_headers,
          .ping_interval = to_ms(options_.sse_ping_interval)};
}

engine::GenerationParams ModelService::params_of(const GenerationFields& fields,
                                                 const engine::PreparedPrompt& prompt) const {
  engine::GenerationParams params;
  engine::SamplingParams& sampling = params.sampling;
  checkpoint::GenerationDefaults defaults;
  if (options_.sampling_defaults == "model") defaults = pretrained_.generation;
  const auto number = [](const std::optional<float>& asked, const std::optional<double>& own) {
    return asked.value_or(static_cast<float>(own.value_or(1.0)));
  };
  sampling.temperature = number(fields.temperature, defaults.temperature);
  const bool is_greedy = sampling.temperature <= kLeastTemperature || fields.top_p == 0.0f;
  if (is_greedy) sampling.temperature = 0;
  sampling.top_p = is_greedy ? 1.0f : number(fields.top_p, defaults.top_p);
  sampling.top_k = std::max(0, fields.top_k.value_or(defaults.top_k.value_or(0)));
  sampling.min_p = fields.min_p.value_or(0.0f);
  sampling.repetition_penalty = number(fields.repetition_penalty, defaults.repetition_penalty);
  sampling.presence_penalty = fields.presence_penalty;
  sampling.frequency_penalty = fields.frequency_penalty;
  sampling.min_tokens = fields.min_tokens;
  sampling.seed = fields.seed ? *fields.seed : std::random_device{}();
  params.num_allowed_ids = pretrained_.num_allowed_ids();
  for (const auto& [id, bias] : fields.logit_bias) {
    if (id >= params.num_allowed_ids) fail_field("logit_bias", "there is no token {}", id);
    sampling.logit_bias.push_back({id, bias});
  }
  if (!fields.ignore_eos) params.end_ids = pretrained_.end_ids();
  for (const int32_t id : fields.stop_token_ids) params.end_ids.push_back(id);
  for (const int32_t id : prompt.ids_with_sentinels) {
    if (id >= 0) params.penalty_ids.push_back(id);
  }
  const int32_t room = max_tokens() - prompt.num_tokens();
  if (room < 1) {
    ApiError error(400, "context_length_exceeded",
                   fmt::format("the prompt has {} tokens ({} of text, {} of pictures), and the "
                               "model's context holds {}: nothing is left for an answer",
                               prompt.num_tokens(), prompt.num_tokens() - prompt.num_image_tokens(),
                               prompt.num_image_tokens(), max_tokens()),
                   "messages");
    error.details = {{"n_prompt_tokens", prompt.num_tokens()}, {"n_ctx", max_tokens()}};
    throw error;
  }
  if (options_.max_tokens_policy == "reject" && fields.max_tokens.value_or(0) > room) {
    fail_field("max_tokens", "{} tokens, but the context of {} has {} left behind a prompt of {}",
               *fields.max_tokens, max_tokens(), room, prompt.num_tokens());
  }
  params.max_new_tokens =
      std::min(room, fields.max_tokens.value_or(limits_.generation.default_max_tokens));
  sampling.min_tokens = std::min(sampling.min_tokens, params.max_new_tokens);
  return params;
}

PreparedChat ModelService::prepare(const ChatRequest& chat, const RouteCall& call) {
  check_model(chat.model);
  const auto images = pictures_.prepare_all(chat.images, chat.image_aspect_ratio);
  PreparedChat prepared = make_request(
      chat.generation, chat.num_top_logprobs,
      engine::prepare_prompt(
          pretrained_, tokenize_chat_request(pretrained_, conv_mode_, chat, image_order_), images),
      call);
  for (const std::string& stop : template_stop_) prepared.request.stop.push_back(stop);
  if (!chat.images.empty() && !chat.images.back().file_id.empty()) {
    // Whoever sends a picture ahead will ask about it again.
    prepared.request.pin = chat.images.back().file_id;
    prepared.request.pin_is_optional = true;
  }
  return prepared;
}

std::vector<PreparedChat> ModelService::prepare(const CompletionRequest& completion,
                                                const RouteCall& call) {
  check_model(completion.model);
  const auto images = pictures_.prepare_all(completion.images);
  std::vector<PreparedChat> prepared;
  for (const auto& prompt : completion.prompts) {
    const auto* written = std::get_if<std::string>(&prompt);
    std::vector<int32_t> ids = written != nullptr ? engine::tokenize_prompt(pretrained_, *written)
                                                  : std::get<std::vector<int32_t>>(prompt);
    prepared.push_back(make_request(completion.generation, completion.num_top_logprobs,
                                    engine::prepare_prompt(pretrained_, std::move(ids), images),
                                    call));
  }
  return prepared;
}

std::string ModelService::prompt_text(const engine::PreparedPrompt& prompt) const {
  std::string text;
  std::vector<int32_t> ids;
  const auto flush = [&] {
    text += pretrained_.tokenizer->decode(ids);
    ids.clear();
  };
  for (const int32_t id : prompt.ids_with_sentinels) {
    if (id >= 0) {
      ids.push_back(id);
    } else {
      flush();
      text += "<image>";
    }
  }
  flush();
  return text;
}

PreparedChat ModelService::make_request(const GenerationFields& fields, int32_t num_top_logprobs,
                                        engine::PreparedPrompt prompt, const RouteCall& call) {
  PreparedChat prepared;
  prepared.received = call.received;
  prepared.cost = call.cost;
  prepared.image_tokens = prompt.num_image_tokens();
  prepared.num_images = static_cast<int32_t>(prompt.images.size());
  engine::GenerationRequest& request = prepared.request;
  request.params = params_of(fields, prompt);
  request.params.sampling.num_logprobs = num_top_logprobs;
  request.id = call.id;
  request.client = call.client;
  request.priority = call.may_set_priority ? fields.priority : 0;
  request.cache_salt = fields.cache_salt;
  // Keys' names have no line breaks.
  if (options_.cache_scope == "key") request.cache_salt = call.owner + "\n" + fields.cache_salt;
  request.num_choices = fields.num_choices;
  request.stop = fields.stop;
  request.includes_stop_string = fields.includes_stop_string;
  request.skips_special_tokens = fields.skips_special_tokens;
  if (fields.format) {
    num_compiling_.fetch_add(1);
    const std::shared_ptr<void> compiling(nullptr, [this](void*) { num_compiling_.fetch_sub(1); });
    try {
      request.grammar = grammars_.find_or_compile(*fields.format);
    } catch (const Error& error) {
      throw ApiError(400, "invalid_schema", error.what(), "response_format");
    }
  }
  if (options_.log_content) prepared.prompt_text = prompt_text(prompt);
  request.prompt = std::move(prompt.sequence);
  request.images = std::move(prompt.images);
  return prepared;
}

}  // namespace llava::serve
