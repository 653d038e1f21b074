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
#include <string>
#include <vector>

#include "llava/core/config.h"
#include "llava/core/function_ref.h"
#include "llava/core/guarded.h"
#include "llava/core/hash.h"
#include "llava/engine/engine.h"
#include "llava/engine/grammar_cache.h"
#include "llava/engine/lru_map.h"
#include "llava/engine/pretrained.h"
#include "llava/engine/prompt_images.h"
#include "llava/serve/chat/answer_pump.h"
#include "llava/serve/chat/chat_prompt.h"
#include "llava/serve/http/http_exchange.h"
#include "llava/serve/media/image_input.h"
#include "llava/serve/metrics/server_metrics.h"
#include "llava/serve/protocol/chat_request.h"
#include "llava/serve/protocol/completion_request.h"

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
  int32_t preprocess_threads = 0;

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
    v.field("preprocess-threads", preprocess_threads,
            "threads that decode pictures and tokenize; 0: half of the cores, at most 8",
            in_range(0, 256));
  }
};

/// A request to the model, ready for the engine.
struct PreparedChat {
  engine::GenerationRequest request;
  int32_t image_tokens = 0;
};

/// Threads: safe.
class ModelService {
 public:
  /// `pretrained` and `engine` outlive the service.
  ModelService(const engine::Pretrained& pretrained, engine::Engine& engine,
               const ServiceOptions& options);
  ~ModelService();

  /// Ends everything under way and takes nothing more; when it returns, no exchange is held.
  void stop();

  /// Runs `task` on a preparation thread; what it throws becomes the exchange's answer.
  ///
  /// Throws: ApiError 503 `overloaded` when too many wait.
  void prepare_later(std::shared_ptr<HttpExchange> exchange, std::function<void()> task);

  /// Decodes, renders, tokenizes and checks a chat. Takes a while: on a preparation thread.
  ///
  /// Throws: ApiError naming what is wrong; 404 for another model.
  PreparedChat prepare(const ChatRequest& chat, const std::string& client);
  /// The same for each prompt of a text completion.
  std::vector<PreparedChat> prepare(const CompletionRequest& completion, const std::string& client);

  /// Decodes and preprocesses a picture file, or remembers what came of it before. On a preparation
  /// thread.
  ///
  /// Throws: what decode_image throws.
  engine::PreparedImage prepare_image_bytes(const std::string& bytes, const ImageSource& source,
                                            const std::string& aspect_ratio = {});

  /// Queues a request in the engine; its answer goes through `writer` to the exchange.
  ///
  /// Throws: what Engine::submit throws.
  std::shared_ptr<engine::AnswerStream> answer(PreparedChat prepared,
                                               std::shared_ptr<HttpExchange> exchange,
                                               std::unique_ptr<AnswerWriter> writer);

  /// The same for several requests that make one answer: all of them are queued, or none. A client
  /// that leaves ends them all.
  std::vector<std::shared_ptr<engine::AnswerStream>> answer_all(
      std::vector<PreparedChat> prepared, const std::string& id,
      const std::shared_ptr<HttpExchange>& exchange,
      FunctionRef<std::unique_ptr<AnswerWriter>(int32_t)> writer_of);

  /// Throws: ApiError 404 unless `name` is empty or served here.
  void check_model(const std::string& name) const;

  const std::vector<std::string>& names() const { return names_; }
  const std::string& fingerprint() const { return fingerprint_; }
  const ChatLimits& limits() const { return limits_; }
  const engine::Pretrained& pretrained() const { return pretrained_; }
  engine::Engine& engine() { return engine_; }
  ServerMetrics& metrics() { return metrics_; }
  /// Whether nothing is prepared, waits or runs.
  bool is_idle() const;
  /// Most tokens of prompt and answer together.
  int32_t max_tokens() const;

 private:
  using Pictures = engine::LruMap<std::string, engine::PreparedImage>;

  std::vector<engine::PreparedImage> prepare_images(const std::vector<ImageSource>& sources,
                                                    const std::string& aspect_ratio = {});
  PreparedChat make_request(const GenerationFields& fields, int32_t num_top_logprobs,
                            engine::PreparedPrompt prompt, const std::string& client);
  engine::GenerationParams params_of(const GenerationFields& fields,
                                     const engine::PreparedPrompt& prompt) const;

  const engine::Pretrained& pretrained_;
  engine::Engine& engine_;
  std::vector<std::string> names_;
  std::string fingerprint_;
  ServerMetrics metrics_;
  std::string conv_mode_;
  ImageOrder image_order_;
  ChatLimits limits_;
  ImageLimits image_limits_;
  std::vector<std::string> template_stop_;
  engine::GrammarCache grammars_;
  Guarded<Pictures> pictures_;
  Guarded<std::vector<std::weak_ptr<engine::AnswerStream>>> streams_;
  std::atomic<int32_t> num_preparing_{0};
  Guarded<bool> is_stopped_{false};
  boost::asio::thread_pool pool_;
};

}  // namespace llava::serve
