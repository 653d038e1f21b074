// SPDX-License-Identifier: Apache-2.0
//
// The stages of a bundle that compare floats: pixels, vision tower, projector, decoder, logits.
#include <algorithm>
#include <numeric>

#include "llava/engine/parity/bundle_run.h"
#include "llava/engine/sampler.h"
#include "llava/image/decode.h"

namespace llava::engine {
namespace {

// Rounding error grows with every layer it passes through; the limit is that of ten layers.
double tolerance_at_depth(int32_t depth) { return std::min(1e-5 * std::max(1, depth), 1e-4); }
constexpr double kLogitsTolerance = 1e-4;

// The original cuts the head to the tokenizer's size.
Tensor first_columns(const Tensor& x, int64_t count) {
  if (count >= x.dim(1)) return x;
  Tensor cut = Tensor::empty({x.dim(0), count}, DType::kFloat32);
  const auto in = x.data<float>();
  const auto out = cut.mutable_data<float>();
  for (int64_t row = 0; row < x.dim(0); ++row) {
    const auto source =
        in.subspan(static_cast<std::size_t>(row * x.dim(1)), static_cast<std::size_t>(count));
    std::copy(source.begin(), source.end(), out.begin() + row * count);
  }
  return cut;
}

}  // namespace

void BundleRun::check_pixels() {
  std::vector<PreparedImage> images;
  for (const std::filesystem::path& path : bundle_.images) {
    images.push_back(prepare_image(pretrained_, image::decode_file(path)));
  }
  prompt_ = prepare_prompt(pretrained_, ids_, images);
  pixels_ICHW_ = join_tiles(images);
  if (bundle_.has("pixel_values") && pixels_ICHW_.is_defined()) {
    add(compare_exact("pixel_values", pixels_ICHW_, bundle_.floats("pixel_values")));
    const auto pixels = given("pixel_values", pixels_ICHW_.shape());
    if (pixels) pixels_ICHW_ = *pixels;
  }
}

void BundleRun::check_vision() {
  const model::LlavaModel& model = *pretrained_.model;
  Tensor rows;
  if (pixels_ICHW_.is_defined()) {
    const Tensor features = model.encode_tiles(ctx_, pixels_ICHW_, vision_observer());
    rows = model.merge_tiles(ctx_, features, prompt_.layouts);
    rows = isolated_features(rows);
    compare_stage("image_features", rows, image_depth());
  }
  if (rows.is_defined()) {
    const auto features = given("image_features", rows.shape());
    if (features) rows = device(*features, model.dtype());
  }
  embeds_ = model.embed(ctx_, prompt_.sequence.ids, rows, prompt_.runs);
  truncate();
  compare_stage("inputs_embeds", embeds_, image_depth());
}

// Layers of the tower that run before the projector, the projector counted as one.
int32_t BundleRun::image_depth() const {
  if (!pretrained_.has_vision()) return 1;
  const model::LlavaConfig& config = pretrained_.model->config;
  int32_t depth = 0;
  for (const int32_t layer : config.vision_feature_layers) {
    depth = std::max(depth, model::resolve_feature_layer(layer, config.vision.num_hidden_layers));
  }
  return depth + 1;
}

model::Observer BundleRun::vision_observer() {
  return [this](const std::string& name, const Tensor& value) {
    const int32_t index = std::stoi(name.substr(name.find('.') + 1));
    if (!bundle_.has(name)) return;
    Tensor ours = host(value);
    vision_shape_ = ours.shape();
    ours = isolated_vision(index, ours);
    add(compare_floats(name, ours, bundle_.floats(name), rule(tolerance_at_depth(index + 1))));
  };
}

// Hidden state `index` computed from the bundle's state before it, where there is one.
Tensor BundleRun::isolated_vision(int32_t index, const Tensor& ours) {
  const auto before = given("vision_hidden." + std::to_string(index - 1), ours.shape());
  if (!before) return ours;
  const model::VisionTower& tower = *pretrained_.model->vision_tower;
  const Tensor flat =
      device(before->reshape({-1, before->dim(2)}), pretrained_.model->vision_dtype());
  const Tensor output = tower.layers[static_cast<std::size_t>(index - 1)].forward(
      ctx_, flat, tower.image_slices(before->dim(0)));
  return host(output).reshape(ours.shape());
}

// Image rows computed from the bundle's selected hidden states, where it has all of them.
Tensor BundleRun::isolated_features(const Tensor& ours) {
  const model::LlavaModel& model = *pretrained_.model;
  std::vector<Tensor> selected;
  for (const int32_t layer : model.config.vision_feature_layers) {
    const int32_t index =
        model::resolve_feature_layer(layer, model.config.vision.num_hidden_layers);
    const auto hidden = given("vision_hidden." + std::to_string(index), vision_shape_);
    if (!hidden) return ours;
    const Tensor flat = device(hidden->reshape({-1, hidden->dim(2)}), model.vision_dtype());
    selected.push_back(
        model.vision_tower->select_rows(ctx_, flat, model.config.geometry.has_class_token));
  }
  return model.merge_tiles(ctx_, model.project(ctx_, ops::concat_columns(ctx_, selected)),
                           prompt_.layouts);
}

// The original cuts every spliced row to tokenizer_model_max_length embeddings; without a picture
// it splices nothing and cuts nothing.
void BundleRun::truncate() {
  const auto limit = pretrained_.description.tokenizer_model_max_length;
  if (pretrained_.is_hugging_face() || !limit || prompt_.layouts.empty()) return;
  if (embeds_.dim(0) <= *limit) return;
  embeds_ = embeds_.rows(0, *limit);
}

void BundleRun::compare_stage(const std::string& name, const Tensor& value, int32_t depth) {
  if (!bundle_.has(name)) return;
  add(compare_floats(name, host(value), bundle_.floats(name), rule(tolerance_at_depth(depth))));
}

void BundleRun::check_decoder() {
  const model::LlavaModel& model = *pretrained_.model;
  slices_ = {{.first_token = 0, .num_tokens = static_cast<int32_t>(embeds_.dim(0))}};
  std::vector<int32_t> positions(static_cast<std::size_t>(embeds_.dim(0)));
  std::iota(positions.begin(), positions.end(), 0);
  const auto embeds = given("inputs_embeds", embeds_.shape());
  if (embeds) embeds_ = device(*embeds, model.dtype());
  pass_ = model.decoder.begin_pass(ctx_, positions, slices_, embeds_.dtype());
  hidden_ = model.decoder.forward(ctx_, embeds_, pass_, nullptr, decoder_observer());
  const std::string last = "hidden." + std::to_string(model.config.decoder.num_hidden_layers);
  const auto hidden = given(last, hidden_.shape());
  if (hidden) hidden_ = device(*hidden, model.dtype());
  check_logits();
}

model::Observer BundleRun::decoder_observer() {
  return [this](const std::string& name, const Tensor& value) {
    if (!bundle_.has(name)) return;
    const int32_t index = std::stoi(name.substr(name.find('.') + 1));
    compare_stage(name, isolated_hidden(index, value), image_depth() + index);
  };
}

// Hidden state `index` computed from the bundle's state before it, where there is one.
Tensor BundleRun::isolated_hidden(int32_t index, const Tensor& ours) {
  auto before = given("hidden." + std::to_string(index - 1), ours.shape());
  if (!before && index == 1) before = given("inputs_embeds", ours.shape());
  if (!before) return ours;
  const model::Decoder& decoder = pretrained_.model->decoder;
  const Tensor input = device(*before, pretrained_.model->dtype());
  Tensor output =
      decoder.layers[static_cast<std::size_t>(index - 1)].forward(ctx_, input, pass_, nullptr);
  if (index == static_cast<int32_t>(decoder.layers.size())) {
    output = decoder.norm.forward(ctx_, output);
  }
  return output;
}

void BundleRun::check_logits() {
  if (!bundle_.has("logits")) return;
  const Tensor reference = bundle_.floats("logits");
  const int64_t num_rows = std::min(reference.dim(0), hidden_.dim(0));
  Tensor ours = host(
      pretrained_.model->logits(ctx_, hidden_.rows(hidden_.dim(0) - num_rows, hidden_.dim(0))));
  ours = first_columns(ours, reference.dim(1));
  ComparisonRow row = compare_floats("logits", ours, reference, rule(kLogitsTolerance));
  if (is_judged_ && !is_float32_ && ours.shape() == reference.shape()) {
    judge_top_one(row, ours, reference);
  }
  add(std::move(row));
}

void BundleRun::judge_top_one(ComparisonRow& row, const Tensor& ours,
                              const Tensor& reference) const {
  const auto width = static_cast<std::size_t>(reference.dim(1));
  const auto a = ours.data<float>().last(width);
  const auto b = reference.data<float>().last(width);
  const int32_t id_a = argmax(a), id_b = argmax(b);
  if (id_a == id_b) return;
  const double margin = static_cast<double>(top_margin(b));
  row.note =
      fmt::format("most likely id {} instead of {}, reference margin {:.4f}", id_a, id_b, margin);
  if (margin >= near_tie_margin(bundle_.dtype)) row.verdict = Verdict::kDiffers;
}

}  // namespace llava::engine
