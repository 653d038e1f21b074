// SPDX-License-Identifier: Apache-2.0
#include "llava/llava.h"

#include <cstdio>

#include "llava/engine/answer.h"
#include "llava/engine/bundled_model.h"
#include "llava/engine/dialogue.h"
#include "llava/engine/open_engine.h"
#include "llava/image/decode.h"
#include "llava/runtime.h"

namespace llava {
namespace {

engine::LoadRequest to_request(const ModelOptions& options, std::string_view models_folder) {
  engine::LoadRequest request;
  request.model_path = options.model_path;
  request.model_base = options.model_base;
  if (options.model_path.empty()) {
    request.model_path = engine::find_bundled_checkpoint(models_folder);
    if (options.model_base.empty()) request.model_base = engine::find_bundled_base(models_folder);
  }
  request.model_name = options.model_name;
  request.vision_tower = options.vision_tower;
  if (options.dtype != "auto" && !dtype_from_name(options.dtype)) {
    fail(ErrorCode::kInvalidArgument, "dtype is '{}', expected auto, float32, bfloat16 or float16",
         options.dtype);
  }
  request.dtype = options.dtype;
  request.load_8bit = options.load_8bit;
  request.load_4bit = options.load_4bit;
  return request;
}

image::RgbImage decode_picture(const Picture& picture, int num_threads) {
  const image::DecodeOptions options{.num_threads = num_threads};
  if (picture.bytes.empty()) return image::decode_file(picture.path, options);
  return image::decode(std::as_bytes(std::span(picture.bytes)), "picture", options);
}

class LoadedModel final : public Model {
 public:
  LoadedModel(const ModelOptions& options, std::string_view models_folder)
      : runtime_(
            {.device = options.device, .backend = options.backend, .threads = options.threads}) {
    engine_options_.cache_dir = options.cache_dir;
    engine_options_.cache_size_mb = options.cache_size_mb;
    engine_options_.config.max_draft_tokens = options.max_draft_tokens;
    engine_options_.draft_model = options.draft_model;
    Context ctx = runtime_.context();
    pretrained_ =
        engine::load_pretrained(ctx, to_request(options, models_folder), options.on_progress);
    draft_ = engine::load_draft_model(ctx, pretrained_, engine_options_);
  }

  const std::string& name() const override { return pretrained_.name; }

  Reply ask(const Question& question) override {
    std::vector<engine::PreparedImage> images;
    for (const Picture& picture : question.pictures) {
      const int num_threads = runtime_.num_threads();
      images.push_back(
          engine::prepare_image(pretrained_, decode_picture(picture, num_threads), num_threads));
    }
    const engine::PreparedPrompt prompt = engine::prepare_prompt(
        pretrained_, engine::tokenize_prompt(pretrained_, prompt_text(question)), images);
    engine::AnswerOptions options;
    options.temperature = question.temperature;
    options.top_p = question.top_p;
    options.num_beams = question.num_beams;
    options.max_new_tokens = question.max_new_tokens;
    options.stop = question.stop;
    options.seed = question.seed;
    options.pin = question.pin;
    engine::Answer answer =
        engine::generate_answer(engine_for(prompt, options), pretrained_, prompt, options,
                                {.on_id = {}, .on_text = question.on_text}, question.cancel);
    return {.text = std::move(answer.text),
            .finish_reason = std::string(finish_reason_name(answer.finish_reason)),
            .prompt_ids = prompt.ids_with_sentinels,
            .generated_ids = std::move(answer.ids),
            .prompt_tokens = prompt.num_tokens(),
            .image_tokens = prompt.num_image_tokens(),
            .cached_tokens = answer.cached_tokens,
            .draft_tokens = answer.draft_tokens,
            .accepted_tokens = answer.accepted_tokens};
  }

  bool unpin(const std::string& name) override { return engine_of(1).unpin(name); }

  std::vector<Pin> pins() override {
    std::vector<Pin> pins;
    for (engine::PinInfo& pin : engine_of(1).pins()) {
      pins.push_back({.name = std::move(pin.name), .num_tokens = pin.num_tokens});
    }
    return pins;
  }

 private:
  // The engine is opened with the first question, and again for one that needs a larger cache.
  engine::Engine& engine_for(const engine::PreparedPrompt& prompt,
                             const engine::AnswerOptions& options) {
    return engine_of(
        tokens_needed(prompt, resolve_params(pretrained_, options, prompt), !options.pin.empty()));
  }

  engine::Engine& engine_of(int64_t num_tokens) {
    if (!engine_ || engine_->capacity_tokens() < num_tokens) {
      engine_.reset();
      engine_ = engine::open_engine({runtime_.context()}, pretrained_, engine_options_, num_tokens,
                                    draft_.get());
    }
    return *engine_;
  }

  std::string prompt_text(const Question& question) const {
    engine::Dialogue dialogue(pretrained_,
                              engine::choose_conv_mode(pretrained_, question.conv_mode));
    auto num_new_pictures = static_cast<int>(question.pictures.size());
    for (const Round& round : question.history) {
      dialogue.ask(round.query, num_new_pictures);
      dialogue.answer(round.answer);
      num_new_pictures = 0;
    }
    dialogue.ask(question.query, num_new_pictures);
    return dialogue.prompt();
  }

  Runtime runtime_;
  engine::Pretrained pretrained_;
  engine::EngineOptions engine_options_;
  std::unique_ptr<engine::Pretrained> draft_;
  std::unique_ptr<engine::Engine> engine_;
};

}  // namespace

std::unique_ptr<Model> load_pretrained_model(const ModelOptions& options,
                                             std::string_view models_folder) {
  return std::make_unique<LoadedModel>(options, models_folder);
}

std::string eval_model(const EvalArguments& arguments, std::string_view models_folder) {
  const auto model = load_pretrained_model({.model_path = arguments.model_path,
                                            .model_base = arguments.model_base,
                                            .model_name = arguments.model_name},
                                           models_folder);
  Question question{.query = arguments.query,
                    .conv_mode = arguments.conv_mode,
                    .temperature = arguments.temperature,
                    .top_p = arguments.top_p,
                    .num_beams = arguments.num_beams,
                    .max_new_tokens = arguments.max_new_tokens};
  for (const std::string& path : engine::split_list(arguments.image_file, arguments.sep)) {
    question.pictures.push_back(Picture::file(path));
  }
  Reply reply = model->ask(question);
  std::puts(reply.text.c_str());
  return std::move(reply.text);
}

}  // namespace llava
