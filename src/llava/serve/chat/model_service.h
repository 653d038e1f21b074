// SPDX-License-Identifier: Apache-2.0
//
// ModelService: one model behind every front end: pictures and prompts are prepared on threads of
// its own, answers come from the engine.
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "llava/core/config.h"
#include "llava/core/function_ref.h"
#include "llava/core/guarded.h"
#include "llava/engine/engine.h"
#include "llava/engine/grammar_cache.h"
#include "llava/engine/pretrained.h"
#include "llava/engine/prompt_images.h"
#include "llava/serve/chat/answer_pump.h"
#include "llava/serve/chat/chat_prompt.h"
#include "llava/serve/chat/counted_writer.h"
#include "llava/serve/chat/load_estimate.h"
#include "llava/serve/chat/picture_preparer.h"
#include "llava/serve/files/file_store.h"
#include "llava/serve/http/event_stream.h"
#include "llava/serve/http/http_exchange.h"
#include "llava/serve/media/image_fetcher.h"
#include "llava/serve/media/image_input.h"
#include "llava/serve/metrics/server_metrics.h"
#include "llava/serve/protocol/chat_request.h"
#include "llava/serve/protocol/completion_request.h"
#include "llava/serve/routing/rate_limits.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// How a model is served; the fields are flags of `llava serve` and `llava worker`.
struct ServiceOptions {
  std::vector<std::string> served_model_name;  ///< the first is echoed
  std::string conv_mode;
  std::string image_order = "first";
  int32_t max_images = 8;
  int32_t max_n = 8;
  int32_t default_max_tokens = 4096;
  int64_t max_image_bytes = 20 << 20;
  int64_t max_image_pixels = 40'000'000;
  bool fast_jpeg = false;
  int32_t preprocess_threads = 0;
  float queue_timeout = 60;
  float request_timeout = 600;
  float token_gap_timeout = 60;
  float watchdog_timeout = 300;
  bool shed_late = false;
  std::string cache_scope = "auto";
  std::string metrics_compat;
  bool strict_params = false;
  std::string max_tokens_policy = "clip";
  std::string tools_policy = "reject";
  std::string sampling_defaults = "openai";
  bool early_headers = false;
  bool log_content = false;
  float sse_ping_interval = 15;
  int64_t max_files_bytes = int64_t{256} << 20;
  std::string allowed_media_path;
  ImageUrlOptions image_urls;

  template <class V>
  void describe(V& v) {
    v.field("served-model-name", served_model_name,
            "name that requests ask for, may be given several times; default: the checkpoint's");
    v.field("conv-mode", conv_mode, "conversation template, instead of the model's own");
    v.field("image-order", image_order,
            "where pictures stand in a turn: all first, as LLaVA was trained, or as sent",
            one_of({"first", "preserve"}));
    v.field("max-images", max_images, "pictures of one request", in_range(1, 1024));
    v.field("max-n", max_n, "answers of one request", in_range(1, 128));
    v.field("default-max-tokens", default_max_tokens,
            "most tokens of an answer whose request names no number", in_range(1, 1 << 20));
    v.field("max-image-bytes", max_image_bytes, "largest picture file", at_least(int64_t{1}));
    v.field("max-image-pixels", max_image_pixels, "largest picture, in pixels",
            at_least(int64_t{1}));
    v.field("fast-jpeg", fast_jpeg,
            "decode JPEG files of more than 4 million pixels at a fraction of their size, which "
            "changes what the model sees a little");
    v.field("preprocess-threads", preprocess_threads,
            "threads that decode pictures and tokenize; 0: half of the cores, at most 8",
            in_range(0, 256));
    v.field("queue-timeout", queue_timeout,
            "seconds that a request may wait for its turn; 0: any time", in_range(0.0f, 86400.0f));
    v.field("request-timeout", request_timeout,
            "seconds that an answer may take altogether; 0: any time", in_range(0.0f, 604800.0f));
    v.field("token-gap-timeout", token_gap_timeout,
            "seconds between two tokens of an answer; 0: any time", in_range(0.0f, 86400.0f));
    v.field("watchdog-timeout", watchdog_timeout,
            "seconds that one step of the engine may take before health checks say that it hangs",
            in_range(0.00001f, 86400.0f));
    v.field("shed-late", shed_late,
            "refuse a request at once whose turn will probably not come within --queue-timeout");
    v.field("cache-scope", cache_scope,
            "who shares cached prefixes: all (global), or each key its own (key); auto: key as "
            "soon as there is more than one",
            one_of({"auto", "global", "key"}));
    v.field("metrics-compat", metrics_compat,
            "names under which /metrics says everything once more: vllm, sglang, or vllm,sglang");
    v.field("strict-params", strict_params,
            "refuse fields that a request should not have, instead of passing over them");
    v.field("max-tokens-policy", max_tokens_policy,
            "what becomes of a request for more tokens than the context has left: clip or reject",
            one_of({"clip", "reject"}));
    v.field("tools-policy", tools_policy,
            "what becomes of a request that offers tools, which no model here calls: reject, or "
            "ignore and answer in words",
            one_of({"reject", "ignore"}));
    v.field("sampling-defaults", sampling_defaults,
            "temperature, top-p and so on of requests that name none: OpenAI's (openai), or where "
            "it has any the checkpoint's (model)",
            one_of({"openai", "model"}));
    v.field("early-headers", early_headers,
            "begin streams when a request is queued, for proxies that wait a short time only: what "
            "fails later is then an event");
    v.field("log-content", log_content,
            "write prompts and answers, but no pictures, into --request-log as well");
    v.field("sse-ping-interval", sse_ping_interval,
            "seconds without an event after which a stream gets a comment; 0: never",
            in_range(0.0f, 3600.0f));
    v.field("max-files-bytes", max_files_bytes,
            "files that clients may send ahead, all together, in memory", at_least(int64_t{0}));
    v.field("allowed-media-path", allowed_media_path,
            "folder of pictures that requests may name as file:///folder/picture; default: none");
    image_urls.describe(v);
  }
};

/// A request to the model, ready for the engine.
struct PreparedChat {
  engine::GenerationRequest request;
  int32_t image_tokens = 0;
  int32_t num_images = 0;
  std::string prompt_text;  ///< with --log-content
  std::chrono::steady_clock::time_point received;
  std::shared_ptr<Guarded<RequestCost>> cost;  ///< may be null

  /// Most tokens that it can cost: the prompt, and every answer at its longest.
  int64_t max_tokens() const {
    return static_cast<int64_t>(request.prompt.ids.size()) +
           int64_t{request.params.max_new_tokens} * request.num_choices;
  }
};

/// Threads: safe.
class ModelService {
 public:
  /// `pretrained`, `engine` and `rate_limits`, which may be null, outlive the service.
  ModelService(const engine::Pretrained& pretrained, engine::Engine& engine,
               const ServiceOptions& options, RateLimits* rate_limits = nullptr);
  ~ModelService();

  /// Ends everything under way and takes nothing more; when it returns, no exchange is held.
  void stop();

  /// Runs `task` on a preparation thread; what it throws becomes the exchange's answer.
  ///
  /// Throws: ApiError 503 `overloaded` when too many wait.
  void prepare_later(std::shared_ptr<HttpExchange> exchange, std::function<void()> task);

  /// Fetches the pictures that are named by network addresses, and finds those sent ahead; `task`
  /// runs on a preparation thread when all are there. What goes wrong, or what `task` throws,
  /// becomes the exchange's answer. `images` lives as long as `task`.
  ///
  /// Throws: ApiError 404 for a file that is not there.
  void with_images(const RouteCall& call, std::vector<ImageSource>& images,
                   std::function<void()> task);

  /// Decodes, renders, tokenizes and checks a chat. Takes a while: on a preparation thread.
  ///
  /// Throws: ApiError naming what is wrong; 404 for another model.
  PreparedChat prepare(const ChatRequest& chat, const RouteCall& call);
  /// The same for each prompt of a text completion.
  std::vector<PreparedChat> prepare(const CompletionRequest& completion, const RouteCall& call);

  /// Pictures become what the model sees, on a preparation thread.
  PicturePreparer& pictures() { return pictures_; }

  /// Queues a request in the engine; its answer goes through `writer` to the exchange.
  ///
  /// Throws: what Engine::submit throws; ApiError 503 `overloaded` for a full queue, 429 for a
  /// client that has asked for too much.
  std::shared_ptr<engine::AnswerStream> answer(PreparedChat prepared,
                                               std::shared_ptr<HttpExchange> exchange,
                                               std::unique_ptr<AnswerWriter> writer);

  /// The same for several requests that make one answer: all of them are queued, or none. A client
  /// that leaves ends them all.
  std::vector<std::shared_ptr<engine::AnswerStream>> answer_all(
      std::vector<PreparedChat> prepared, const std::shared_ptr<HttpExchange>& exchange,
      FunctionRef<std::unique_ptr<AnswerWriter>(int32_t)> writer_of);

  /// Ends the answers under way of this request id, and of this client unless it is empty; how many
  /// there were.
  int32_t abort(const std::string& id, const std::string& client);

  /// With --shed-late, refuses a request whose turn would come too late: before its pictures are
  /// looked at, which would take the time of those that are answered.
  ///
  /// Throws: ApiError 503 `overloaded`.
  void refuse_late() const;

  /// Throws: ApiError 404 unless `name` is empty or served here.
  void check_model(const std::string& name) const;

  /// Fields that a request should not have: each is logged once, or refused.
  ///
  /// Throws: ApiError 400 `unknown_parameter` with --strict-params.
  void check_unknown(const std::vector<std::string>& fields);
  EventStreamOptions event_options() const;

  const std::vector<std::string>& names() const { return names_; }
  const std::string& fingerprint() const { return fingerprint_; }
  const ChatLimits& limits() const { return limits_; }
  const ServiceOptions& options() const { return options_; }
  const ImageLimits& image_limits() const { return image_limits_; }
  /// The conversation template; empty: the checkpoint's own.
  const std::string& conv_mode() const { return conv_mode_; }
  const engine::Pretrained& pretrained() const { return pretrained_; }
  engine::Engine& engine() { return engine_; }
  ServerMetrics& metrics() { return metrics_; }
  FileStore& files() { return files_; }
  const FileStore& files() const { return files_; }
  int32_t num_preparing() const { return num_preparing_.load(); }
  /// Of these, those whose grammar is compiled.
  int32_t num_compiling() const { return num_compiling_.load(); }
  /// Whether the engine has been at one step for longer than it may.
  bool is_stalled() const { return engine_.silent_seconds() > double{options_.watchdog_timeout}; }
  /// Whether nothing is prepared, waits or runs.
  bool is_idle() const;
  /// Most tokens of prompt and answer together.
  int32_t max_tokens() const;

 private:
  /// An answer under way, for ending it from elsewhere.
  struct OpenAnswer {
    std::string id;
    std::string client;
    std::weak_ptr<engine::AnswerStream> stream;
  };
  struct BegunAnswer {
    std::shared_ptr<engine::AnswerStream> stream;
    std::function<void(CloseReason)> on_close;  ///< what the exchange calls when it closes
  };

  /// Counts a request as being prepared as long as what is returned lives.
  ///
  /// Throws: ApiError 503 `overloaded` when too many are.
  std::shared_ptr<void> count_preparing();
  BegunAnswer begin(PreparedChat prepared, std::shared_ptr<HttpExchange> exchange,
                    std::unique_ptr<AnswerWriter> writer);
  CountedRequest counted_request(const PreparedChat& prepared) const;
  /// A prompt as the model sees it, with `<image>` for each picture.
  std::string prompt_text(const engine::PreparedPrompt& prompt) const;
  PreparedChat make_request(const GenerationFields& fields, int32_t num_top_logprobs,
                            engine::PreparedPrompt prompt, const RouteCall& call);
  engine::GenerationParams params_of(const GenerationFields& fields,
                                     const engine::PreparedPrompt& prompt) const;

  const engine::Pretrained& pretrained_;
  engine::Engine& engine_;
  ServiceOptions options_;
  RateLimits* rate_limits_;
  AnswerTimes times_;
  LoadEstimate load_;
  std::vector<std::string> names_;
  std::string fingerprint_;
  ServerMetrics metrics_;
  AnswerAccounts accounts_;
  std::string conv_mode_;
  ImageOrder image_order_;
  ChatLimits limits_;
  ImageLimits image_limits_;
  std::vector<std::string> template_stop_;
  FileStore files_;
  engine::GrammarCache grammars_;
  Guarded<std::set<std::string>> unknown_fields_;  ///< that were logged
  PicturePreparer pictures_;
  Guarded<std::vector<OpenAnswer>> open_answers_;
  std::atomic<int32_t> num_preparing_{0};
  std::atomic<int32_t> num_compiling_{0};
  Guarded<bool> is_stopped_{false};
  boost::asio::thread_pool pool_;
  std::unique_ptr<ImageFetcher> fetcher_;  ///< null: nothing is fetched
};

}  // namespace llava::serve
