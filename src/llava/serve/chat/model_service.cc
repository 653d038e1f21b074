// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/chat/model_service.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <random>
#include <span>
#include <thread>
#include <utility>

#include "llava/core/version.h"
#include "llava/engine/dialogue.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {
namespace {

/// Prepared pictures that are kept for being sent again; each has one tile or a few of 1.4 MB.
constexpr std::size_t kKeptPictures = 64;
/// Requests that may wait for it; their bodies are bounded by the server.
constexpr int32_t kMaxPreparing = 256;

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

/// Counts an answer on its way to its writer.
class CountedWriter final : public AnswerWriter {
 public:
  CountedWriter(std::unique_ptr<AnswerWriter> inner, ServerMetrics& metrics, int32_t image_tokens)
      : inner_(std::move(inner)), metrics_(metrics), image_tokens_(image_tokens) {}

  void write(const engine::AnswerDelta& delta) override {
    if (delta.finish_reason) reason_ = *delta.finish_reason;
    inner_->write(delta);
  }
  void end(const engine::AnswerUsage& usage) override {
    metrics_.count_answer(usage, image_tokens_, reason_);
    inner_->end(usage);
  }
  void fail(const ApiError& error) override {
    metrics_.count_error(error.code());
    inner_->fail(error);
  }

 private:
  std::unique_ptr<AnswerWriter> inner_;
  ServerMetrics& metrics_;
  int32_t image_tokens_;
  engine::FinishReason reason_ = engine::FinishReason::kEndToken;
};

}  // namespace

ModelService::ModelService(const engine::Pretrained& pretrained, engine::Engine& engine,
                           const ServiceOptions& options)
    : pretrained_(pretrained),
      engine_(engine),
      names_(names_of(pretrained, options)),
      metrics_(names_.front()),
      conv_mode_(engine::choose_conv_mode(pretrained, options.conv_mode)),
      image_order_(options.image_order == "first" ? ImageOrder::kFirst : ImageOrder::kPreserve),
      grammars_(vocabulary_of(pretrained)),
      pictures_(Pictures(kKeptPictures)),
      pool_(static_cast<std::size_t>(num_threads_of(options))) {
  fingerprint_ = fmt::format("llava-{}", kVersion);
  limits_.max_images = options.max_images;
  limits_.generation = {.max_choices = options.max_n,
                        .default_max_tokens = options.default_max_tokens};
  image_limits_.max_bytes = static_cast<uint64_t>(options.max_image_bytes);
  image_limits_.max_pixels = options.max_image_pixels;
  if (!conv_mode_.empty()) {
    const auto stop = text::stop_string(text::find_conversation_template(conv_mode_));
    if (stop) template_stop_.push_back(*stop);
  }
}

ModelService::~ModelService() { stop(); }

void ModelService::stop() {
  is_stopped_.with([](bool& is_stopped) { is_stopped = true; });
  pool_.join();
  streams_.with([](auto& streams) {
    for (const auto& weak : streams) {
      if (const auto stream = weak.lock()) stream->cancel();
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

void ModelService::prepare_later(std::shared_ptr<HttpExchange> exchange,
                                 std::function<void()> task) {
  if (num_preparing_.fetch_add(1) >= kMaxPreparing) {
    num_preparing_.fetch_sub(1);
    ApiError error(503, "overloaded", "too many requests wait for their pictures to be read");
    error.retry_after = 1;
    throw error;
  }
  auto run = [this, exchange = std::move(exchange), task = std::move(task)] {
    try {
      // Nobody is left to tell.
      if (!exchange->is_closed()) task();
    } catch (...) {
      answer_exception(*exchange);
    }
    num_preparing_.fetch_sub(1);
  };
  const bool is_taken = is_stopped_.with([&](const bool& is_stopped) {
    if (!is_stopped) boost::asio::post(pool_, std::move(run));
    return !is_stopped;
  });
  if (!is_taken) throw ApiError(503, "draining", "this server is about to stop; ask another");
}

std::shared_ptr<engine::AnswerStream> ModelService::answer(PreparedChat prepared,
                                                           std::shared_ptr<HttpExchange> exchange,
                                                           std::unique_ptr<AnswerWriter> writer) {
  auto counted =
      std::make_unique<CountedWriter>(std::move(writer), metrics_, prepared.image_tokens);
  auto stream = engine_.submit(std::move(prepared.request));
  streams_.with([&](auto& streams) {
    std::erase_if(streams, [](const auto& weak) { return weak.expired(); });
    streams.push_back(stream);
  });
  pump_answer(stream, std::move(exchange), std::move(counted));
  return stream;
}

std::vector<std::shared_ptr<engine::AnswerStream>> ModelService::answer_all(
    std::vector<PreparedChat> prepared, const std::string& id,
    const std::shared_ptr<HttpExchange>& exchange,
    FunctionRef<std::unique_ptr<AnswerWriter>(int32_t)> writer_of) {
  std::vector<std::shared_ptr<engine::AnswerStream>> streams;
  try {
    for (PreparedChat& each : prepared) {
      each.request.id = id;
      const auto index = static_cast<int32_t>(streams.size());
      streams.push_back(answer(std::move(each), exchange, writer_of(index)));
    }
  } catch (...) {
    for (const auto& stream : streams) stream->cancel();
    throw;
  }
  exchange->on_close([streams](CloseReason) {
    for (const auto& stream : streams) stream->cancel();
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

engine::PreparedImage ModelService::prepare_image_bytes(const std::string& bytes,
                                                        const ImageSource& source,
                                                        const std::string& aspect_ratio) {
  const Sha256 digest = sha256(std::as_bytes(std::span(bytes)));
  const std::string key =
      fmt::format("{} {} {}", to_hex(digest), aspect_ratio, source.is_low_detail);
  const auto known = pictures_.with([&](Pictures& pictures) {
    const engine::PreparedImage* found = pictures.find(key);
    return found != nullptr ? std::optional(*found) : std::nullopt;
  });
  if (known) return *known;
  engine::PreparedImage image = engine::prepare_image(
      pretrained_, decode_image(bytes, source, image_limits_), 1,
      {.aspect_ratio = aspect_ratio, .is_base_view_only = source.is_low_detail});
  pictures_.with([&](Pictures& pictures) { pictures.put(key, image); });
  return image;
}

engine::GenerationParams ModelService::params_of(const GenerationFields& fields,
                                                 const engine::PreparedPrompt& prompt) const {
  engine::GenerationParams params;
  engine::SamplingParams& sampling = params.sampling;
  sampling.temperature = fields.temperature.value_or(1.0f);
  const bool is_greedy = sampling.temperature <= kLeastTemperature || fields.top_p == 0.0f;
  if (is_greedy) sampling.temperature = 0;
  sampling.top_p = is_greedy ? 1.0f : fields.top_p.value_or(1.0f);
  sampling.top_k = std::max(0, fields.top_k.value_or(0));
  sampling.min_p = fields.min_p.value_or(0.0f);
  sampling.repetition_penalty = fields.repetition_penalty.value_or(1.0f);
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
  params.max_new_tokens =
      std::min(room, fields.max_tokens.value_or(limits_.generation.default_max_tokens));
  sampling.min_tokens = std::min(sampling.min_tokens, params.max_new_tokens);
  return params;
}

std::vector<engine::PreparedImage> ModelService::prepare_images(
    const std::vector<ImageSource>& sources, const std::string& aspect_ratio) {
  std::vector<engine::PreparedImage> images;
  for (const ImageSource& source : sources) {
    images.push_back(
        prepare_image_bytes(read_image_bytes(source, image_limits_), source, aspect_ratio));
  }
  return images;
}

PreparedChat ModelService::prepare(const ChatRequest& chat, const std::string& client) {
  check_model(chat.model);
  const auto images = prepare_images(chat.images, chat.image_aspect_ratio);
  PreparedChat prepared = make_request(
      chat.generation, chat.num_top_logprobs,
      engine::prepare_prompt(
          pretrained_, tokenize_chat_request(pretrained_, conv_mode_, chat, image_order_), images),
      client);
  for (const std::string& stop : template_stop_) prepared.request.stop.push_back(stop);
  return prepared;
}

std::vector<PreparedChat> ModelService::prepare(const CompletionRequest& completion,
                                                const std::string& client) {
  check_model(completion.model);
  const auto images = prepare_images(completion.images);
  std::vector<PreparedChat> prepared;
  for (const auto& prompt : completion.prompts) {
    const auto* written = std::get_if<std::string>(&prompt);
    std::vector<int32_t> ids = written != nullptr ? engine::tokenize_prompt(pretrained_, *written)
                                                  : std::get<std::vector<int32_t>>(prompt);
    prepared.push_back(make_request(completion.generation, completion.num_top_logprobs,
                                    engine::prepare_prompt(pretrained_, std::move(ids), images),
                                    client));
  }
  return prepared;
}

PreparedChat ModelService::make_request(const GenerationFields& fields, int32_t num_top_logprobs,
                                        engine::PreparedPrompt prompt, const std::string& client) {
  PreparedChat prepared;
  prepared.image_tokens = prompt.num_image_tokens();
  engine::GenerationRequest& request = prepared.request;
  request.params = params_of(fields, prompt);
  request.params.sampling.num_logprobs = num_top_logprobs;
  request.client = client;
  request.priority = fields.priority;
  request.cache_salt = fields.cache_salt;
  request.num_choices = fields.num_choices;
  request.stop = fields.stop;
  request.includes_stop_string = fields.includes_stop_string;
  request.skips_special_tokens = fields.skips_special_tokens;
  if (fields.format) {
    try {
      request.grammar = grammars_.find_or_compile(*fields.format);
    } catch (const Error& error) {
      throw ApiError(400, "invalid_schema", error.what(), "response_format");
    }
  }
  request.prompt = std::move(prompt.sequence);
  request.images = std::move(prompt.images);
  return prepared;
}

}  // namespace llava::serve
