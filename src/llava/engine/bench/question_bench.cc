// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bench/question_bench.h"

#include <algorithm>
#include <cstring>

#include "llava/core/check.h"
#include "llava/engine/model_runner.h"

namespace llava::engine {
namespace {

// The system prompt's part before the picture; the rest of the text follows it.
constexpr int32_t kTokensBeforePicture = 5;

// The ids of random prompts are no text.
class WordlessTokenizer final : public text::Tokenizer {
 public:
  explicit WordlessTokenizer(int32_t size) : size_(size) {}

  std::vector<int32_t> encode(std::string_view, bool) const override { return {}; }
  std::string decode(std::span<const int32_t>, bool) const override { return {}; }
  int32_t size() const override { return size_; }
  std::optional<int32_t> id_of(std::string_view) const override { return std::nullopt; }
  std::string token_text(int32_t) const override { return {}; }
  bool is_special(int32_t) const override { return false; }
  std::optional<int32_t> bos_id() const override { return std::nullopt; }
  std::optional<int32_t> eos_id() const override { return std::nullopt; }
  std::optional<int32_t> pad_id() const override { return std::nullopt; }
  std::string named_token(std::string_view) const override { return {}; }
  bool adds_bos() const override { return false; }
  int32_t add_special_token(std::string_view) override {
    fail(ErrorCode::kInternal, "a tokenizer without words takes no token");
  }

 private:
  int32_t size_;
};

}  // namespace

QuestionBench::QuestionBench(Context& ctx, const model::LlavaModel& model, DType kv_dtype,
                             int32_t num_text_tokens)
    : model_(model),
      tokenizer_(std::make_unique<WordlessTokenizer>(model.config.decoder.vocab_size)) {
  const int32_t side = model.config.geometry.tile_size;
  layout_ = image::plan_layout({side, side}, model.config.geometry);
  pixels_ICHW_ = Tensor::empty({layout_.num_tiles(), model.config.vision.num_channels, side, side},
                               DType::kFloat32);
  for (float& value : pixels_ICHW_.mutable_data<float>()) {
    value = static_cast<float>(4.0 * random_.uniform() - 2.0);
  }
  const EngineConfig config;
  const int32_t page_size = config.scheduler.page_size;
  // A question, the one before it that its prefix is shared with, and one that is being replaced.
  const int32_t num_pages = 3 * ((layout_.num_tokens + num_text_tokens) / page_size + 2);
  const int64_t row_bytes = int64_t{model.config.decoder.hidden_size} * item_size(model.dtype());
  engine_ = std::make_unique<Engine>(
      config,
      EngineMemory{.num_pages = num_pages,
                   .encoder_cache_bytes = 2 * row_bytes * layout_.num_tokens,
                   .encoder_bytes_per_token = row_bytes},
      std::make_unique<ModelRunner>(ctx, model, kv_dtype, num_pages, page_size), *tokenizer_,
      model.config.decoder.vocab_size);
}

QuestionBench::~QuestionBench() = default;

QuestionTimes QuestionBench::ask_first(int32_t num_text_tokens) {
  for (auto& byte : picture_.digest) {
    byte = static_cast<std::remove_reference_t<decltype(byte)>>(random_() >> 56);
  }
  has_picture_ = true;
  return ask(num_text_tokens);
}

QuestionTimes QuestionBench::ask_second(int32_t num_text_tokens) {
  if (!has_picture_) ask_first(num_text_tokens);
  return ask(num_text_tokens);
}

QuestionTimes QuestionBench::ask(int32_t num_text_tokens) {
  const int32_t before = std::min(kTokensBeforePicture, num_text_tokens);
  const auto bound = static_cast<uint64_t>(model_.config.decoder.vocab_size);
  GenerationRequest request;
  request.id = "bench";
  auto& ids = request.prompt.ids;
  // Always the same before the picture, as a template has it.
  for (int32_t i = 0; i < before; ++i) ids.push_back(i + 1);
  request.prompt.images.push_back({.offset = before, .num_tokens = layout_.num_tokens, .image = 0});
  ids.insert(ids.end(), static_cast<std::size_t>(layout_.num_tokens), text::kPlaceholderId);
  for (int32_t i = before; i < num_text_tokens; ++i) {
    ids.push_back(static_cast<int32_t>(random_.below(bound)));
  }
  request.images.push_back({.key = picture_, .layout = layout_, .pixels_ICHW = pixels_ICHW_});
  request.params.max_new_tokens = 1;
  const auto stream = engine_->submit(std::move(request));
  while (stream->next()) {
  }
  engine_->wait_until_idle();
  const AnswerUsage usage = stream->usage();
  LLAVA_CHECK(usage.completion_tokens == 1, "{} tokens", usage.completion_tokens);
  return {.first_token_ms = usage.first_token_ms, .encode_ms = usage.encode_ms};
}

}  // namespace llava::engine
