// SPDX-License-Identifier: Apache-2.0
#include "llava/train/contrastive_run.h"

#include <chrono>
#include <filesystem>
#include <optional>

#include "llava/backend/torch/torch_backend.h"
#include "llava/backend/torch/torch_tensor.h"
#include "llava/core/log.h"
#include "llava/train/base_model.h"
#include "llava/train/check_data.h"
#include "llava/train/contrastive_trainer.h"
#include "llava/train/run_summary.h"
#include "llava/train/tower_files.h"

namespace llava::train {
namespace {

namespace fs = std::filesystem;

Tensor embedding_table(const BasePlace& place) {
  return host_to_float32(open_base_weights(place.folder)->load("model.embed_tokens.weight"));
}

// Captions are checked as stage 1 with --version plain would read them.
data::SampleRules caption_rules(const TrainConfig& config, const BasePlace& place,
                                const text::Tokenizer& tokenizer) {
  data::SampleRules rules =
      data::open_sample_rules({.version = "plain",
                               .model_max_length = config.optimization.model_max_length,
                               .compat = config.compat()},
                              &tokenizer);
  rules.pictures = data::open_picture_rules(place.tower_folder, place.description.config.geometry,
                                            config.data.image_aspect_ratio,
                                            config.data.image_folder, config.compat());
  return rules;
}

// Pictures with captions, and what the captions are on the text side.
struct CaptionedData {
  data::ConversationFile file;
  data::CaptionedPictures pictures;
  at::Tensor means_ME;

  CaptionedData(const std::string& path, const data::SampleMaker& maker, const Tensor& table_VE,
                Device device)
      : file(data::ConversationFile::open(path)),
        pictures(file, maker.tokenizer(), maker.rules().pictures),
        means_ME(caption_means(pictures, table_VE).to(torch_device(device))) {}
};

}  // namespace

bool run_contrastive(Context& ctx, const TrainConfig& config,
                     const std::function<bool()>& stop_requested) {
  const auto begin = std::chrono::steady_clock::now();
  fs::create_directories(config.run.output_dir);
  const std::optional<fs::path> checkpoint = find_checkpoint(config);
  const BasePlace place = locate_base(config);
  const data::TrainingTokenizer tokenizer = open_base_tokenizer(place, config);
  const data::SampleMaker maker(*tokenizer.tokenizer,
                                caption_rules(config, place, *tokenizer.tokenizer));
  check_data(config, data::ConversationFile::open(config.data.data_path), maker, *ctx.pool,
             /*looks=*/true);
  const Tensor table_VE = embedding_table(place);
  const Device device = ctx.backend.device();
  const CaptionedData training(config.data.data_path, maker, table_VE, device);
  std::optional<CaptionedData> held_out;
  if (!config.run.eval_data_path.empty()) {
    held_out.emplace(config.run.eval_data_path, maker, table_VE, device);
  }

  record_gradients(ctx.backend, true);
  ContrastiveModel model(place.description.config.vision, table_VE.dim(1));
  draw_initial_values(model, config.contrastive.contrastive_loss, config.run.seed);
  const bool goes_on = load_tower(place.tower_folder, model);
  Trainables trainables;
  trainables.parameters = make_trainable(model, config.contrastive.contrastive_loss,
                                         scalar_type(compute_types(config).model), device);
  const StepPlan plan = contrastive_plan(config, training.pictures.size());
  log_info("contrastive_training",
           {{"samples", std::to_string(training.pictures.size())},
            {"captions", std::to_string(training.pictures.captions().size())},
            {"steps", std::to_string(plan.num_steps)},
            {"tower", goes_on ? "goes on from its weights" : "new"},
            {"loss", config.contrastive.contrastive_loss}});
  RunReporter reporter(config.run, plan.num_steps,
                       checkpoint ? step_of_checkpoint(*checkpoint) : 0);
  const auto write_files = [&](const fs::path& folder) {
    write_tower_folder(folder, place.tower_folder, trainables.parameters, ctx.backend);
  };
  ContrastiveTrainer trainer(
      {.ctx = ctx,
       .config = config,
       .model = model,
       .trainables = trainables,
       .training = {training.pictures, training.means_ME},
       .held_out = held_out ? std::optional<CaptionSet>({held_out->pictures, held_out->means_ME})
                            : std::nullopt,
       .reporter = reporter,
       .write_files = write_files});
  if (checkpoint) trainer.resume(*checkpoint);
  if (!trainer.run(stop_requested)) return false;
  write_files(config.run.output_dir);
  finish_run(
      {.config = config,
       .progress = trainer.progress(),
       .num_steps = plan.num_steps,
       .num_epochs = trainer.num_epochs(),
       .mean_loss = trainer.mean_loss(),
       .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
       .num_samples = training.pictures.size()},
      reporter);
  return true;
}

}  // namespace llava::train
