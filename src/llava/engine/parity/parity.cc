// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/parity/parity.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "llava/core/error.h"
#include "llava/engine/generation.h"
#include "llava/engine/prompt_images.h"
#include "llava/image/decode.h"
#include "llava/text/conversation.h"
#include "llava/text/supervision.h"

namespace llava::engine {
namespace {

// Rounding error grows with every layer it passes through; the limit is that of ten layers.
double tolerance_at_depth(int32_t depth) { return std::min(1e-5 * std::max(1, depth), 1e-4); }
constexpr double kLogitsTolerance = 1e-4;
constexpr double kLossTolerance = 1e-5;
constexpr double kLossTolerance16 = 2e-2;

// Top-2 distance below which two correct 16-bit programs may choose differently.
double near_tie_margin(DType dtype) { return dtype == DType::kBFloat16 ? 0.25 : 0.05; }

float top_margin(std::span<const float> logits) {
  float best = -INFINITY, second = -INFINITY;
  for (const float value : logits) {
    if (value > best) {
      second = best;
      best = value;
    } else if (value > second) {
      second = value;
    }
  }
  return best - second;
}

class BundleRun {
 public:
  BundleRun(Context& ctx, const Pretrained& pretrained, const ReferenceBundle& bundle,
            const ParityOptions& options)
      : ctx_(ctx),
        pretrained_(pretrained),
        bundle_(bundle),
        options_(options),
        is_judged_(pretrained.model->dtype() == bundle.dtype),
        is_float32_(bundle.dtype == DType::kFloat32) {}

  BundleReport run() {
    using Stage = void (BundleRun::*)();
    constexpr Stage kStages[] = {&BundleRun::check_prompt,     &BundleRun::check_pixels,
                                 &BundleRun::check_vision,     &BundleRun::check_decoder,
                                 &BundleRun::check_generation, &BundleRun::check_labels};
    for (const Stage stage : kStages) {
      (this->*stage)();
      if (options_.stops_at_first && !report_.has_passed()) {
        drop_rows_after_first_failure();
        break;
      }
    }
    return std::move(report_);
  }

 private:
  void add(ComparisonRow row) { report_.rows.push_back(std::move(row)); }

  void drop_rows_after_first_failure() {
    const auto first =
        std::find_if(report_.rows.begin(), report_.rows.end(),
                     [](const ComparisonRow& row) { return row.verdict == Verdict::kDiffers; });
    report_.rows.erase(first + 1, report_.rows.end());
  }

  FloatRule rule(double tolerance) const {
    return {.is_judged = is_judged_, .tolerance = tolerance, .uses_cosine = !is_float32_};
  }

  Tensor host(const Tensor& x) { return host_to_float32(ops::to_host(ctx_, x)); }

  // A reference tensor on the device in the dtype of our own, for isolated stages.
  Tensor device(const Tensor& reference, DType dtype) {
    return ops::cast(ctx_, ops::from_host(ctx_, reference), dtype);
  }

  std::vector<text::Message> messages_of(const text::ConversationTemplate& conversation) const {
    std::vector<text::Message> messages;
    for (const auto& [role, message] : bundle_.messages) {
      messages.push_back({.role = text::resolve_role(conversation, role), .text = message});
    }
    return messages;
  }

  std::string prompt_text() {
    if (bundle_.messages.empty() || !bundle_.conv_mode) return *bundle_.prompt;
    const text::ConversationTemplate& conversation =
        text::find_conversation_template(*bundle_.conv_mode);
    std::vector<text::Message> messages = messages_of(conversation);
    // A question with nothing after it leaves the reply's slot open.
    if (messages.size() % 2 == 1) messages.push_back({.role = conversation.roles[1], .text = {}});
    const std::string rendered = text::render_conversation(conversation, messages);
    if (bundle_.prompt) add(compare_text("prompt", rendered, *bundle_.prompt));
    return rendered;
  }

  // The published tokenizers add a begin token to a prompt that is already written with one.
  bool has_two_begins(std::span<const int64_t> reference) const {
    const auto bos = pretrained_.tokenizer->bos_id();
    return bos && reference.size() >= 2 && reference[0] == *bos && reference[1] == *bos;
  }

  void check_prompt() {
    const std::vector<int64_t> reference =
        bundle_.has("input_ids") ? bundle_.ints("input_ids") : std::vector<int64_t>();
    ids_ = tokenize_prompt(pretrained_, prompt_text(), !has_two_begins(reference));
    if (!bundle_.has("input_ids")) return;
    add(compare("input_ids", bundle_ids(ids_), reference));
    if (!options_.is_isolated) return;
    ids_.assign(reference.begin(), reference.end());
    for (int32_t& id : ids_) {
      if (pretrained_.is_hugging_face() && id == pretrained_.description.image_token_id) {
        id = text::kImageSentinel;
      }
    }
  }

  // Bundles of Hugging Face checkpoints hold the image token's id where we hold the sentinel.
  std::vector<int64_t> bundle_ids(std::span<const int32_t> ids) const {
    std::vector<int64_t> result(ids.begin(), ids.end());
    if (!pretrained_.is_hugging_face()) return result;
    for (int64_t& id : result) {
      if (id == text::kImageSentinel) id = *pretrained_.description.image_token_id;
    }
    return result;
  }

  std::string text_of(std::span<const int64_t> ids) const {
    std::string text;
    for (const int64_t id : ids) {
      if (id == text::kImageSentinel) {
        text += text::kImageToken;
      } else if (id >= 0 && id < pretrained_.tokenizer->size()) {
        const auto narrow = static_cast<int32_t>(id);
        text += pretrained_.tokenizer->decode({&narrow, 1});
      }
    }
    return text;
  }

  ComparisonRow compare(const std::string& name, std::span<const int64_t> ours,
                        std::span<const int64_t> reference, int64_t num_compared = -1) const {
    return compare_ids(name, ours, reference, num_compared,
                       [this](std::span<const int64_t> ids) { return text_of(ids); });
  }

  void check_pixels() {
    std::vector<PreparedImage> images;
    for (const std::filesystem::path& path : bundle_.images) {
      images.push_back(prepare_image(pretrained_, image::decode_file(path)));
    }
    prompt_ = prepare_prompt(pretrained_, ids_, images);
    if (bundle_.has("pixel_values") && prompt_.pixels_ICHW.is_defined()) {
      const Tensor reference = bundle_.floats("pixel_values");
      add(compare_exact("pixel_values", prompt_.pixels_ICHW, reference));
      if (options_.is_isolated && reference.shape() == prompt_.pixels_ICHW.shape()) {
        prompt_.pixels_ICHW = reference;
      }
    }
  }

  void check_vision() {
    const model::LlavaModel& model = *pretrained_.model;
    Tensor rows;
    if (prompt_.pixels_ICHW.is_defined()) {
      const Tensor features = model.encode_tiles(ctx_, prompt_.pixels_ICHW, vision_observer());
      rows = model.merge_tiles(ctx_, features, prompt_.layouts);
      if (options_.is_isolated) rows = isolated_features(rows);
      compare_stage("image_features", rows, image_depth());
    }
    if (options_.is_isolated && bundle_.has("image_features") && rows.is_defined()) {
      rows = device(bundle_.floats("image_features"), model.dtype());
    }
    embeds_ = model.embed(ctx_, prompt_.sequence.ids, rows, prompt_.runs);
    truncate();
    compare_stage("inputs_embeds", embeds_, image_depth());
  }

  // Layers of the tower that run before the projector, the projector counted as one.
  int32_t image_depth() const {
    if (!pretrained_.has_vision()) return 1;
    const model::LlavaConfig& config = pretrained_.model->config;
    int32_t depth = 0;
    for (const int32_t layer : config.vision_feature_layers) {
      depth = std::max(depth, model::resolve_feature_layer(layer, config.vision.num_hidden_layers));
    }
    return depth + 1;
  }

  model::Observer vision_observer() {
    return [this](const std::string& name, const Tensor& value) {
      const int32_t index = std::stoi(name.substr(name.find('.') + 1));
      if (!bundle_.has(name)) return;
      const Tensor reference = bundle_.floats(name);
      Tensor ours = host(value);
      if (options_.is_isolated) ours = isolated_vision(index, reference, ours);
      add(compare_floats(name, ours, reference, rule(tolerance_at_depth(index + 1))));
    };
  }

  // Hidden state `index` computed from the bundle's state before it, where there is one.
  Tensor isolated_vision(int32_t index, const Tensor& reference, const Tensor& ours) {
    const std::string before = "vision_hidden." + std::to_string(index - 1);
    if (index == 0 || !bundle_.has(before)) return ours;
    const model::VisionTower& tower = *pretrained_.model->vision_tower;
    const Tensor input = bundle_.floats(before);
    const Tensor flat =
        device(input.reshape({-1, input.dim(2)}), pretrained_.model->vision_dtype());
    const Tensor output = tower.layers[static_cast<std::size_t>(index - 1)].forward(
        ctx_, flat, tower.image_slices(input.dim(0)));
    return host(output).reshape(reference.shape());
  }

  // Image rows computed from the bundle's selected hidden states, where it has all of them.
  Tensor isolated_features(const Tensor& ours) {
    const model::LlavaModel& model = *pretrained_.model;
    std::vector<Tensor> selected;
    for (const int32_t layer : model.config.vision_feature_layers) {
      const std::string name =
          "vision_hidden." + std::to_string(model::resolve_feature_layer(
                                 layer, model.config.vision.num_hidden_layers));
      if (!bundle_.has(name)) return ours;
      const Tensor hidden = bundle_.floats(name);
      const Tensor flat = device(hidden.reshape({-1, hidden.dim(2)}), model.vision_dtype());
      selected.push_back(
          model.vision_tower->select_rows(ctx_, flat, model.config.geometry.has_class_token));
    }
    return model.merge_tiles(ctx_, model.project(ctx_, ops::concat_columns(ctx_, selected)),
                             prompt_.layouts);
  }

  // The original cuts every spliced row to tokenizer_model_max_length embeddings; without a picture
  // it splices nothing and cuts nothing.
  void truncate() {
    const auto limit = pretrained_.description.tokenizer_model_max_length;
    if (pretrained_.is_hugging_face() || !limit || prompt_.layouts.empty()) return;
    if (embeds_.dim(0) <= *limit) return;
    embeds_ = embeds_.rows(0, *limit);
  }

  void compare_stage(const std::string& name, const Tensor& value, int32_t depth) {
    if (!bundle_.has(name)) return;
    add(compare_floats(name, host(value), bundle_.floats(name), rule(tolerance_at_depth(depth))));
  }

  void check_decoder() {
    const model::LlavaModel& model = *pretrained_.model;
    slices_ = {{.first_token = 0, .num_tokens = static_cast<int32_t>(embeds_.dim(0))}};
    std::vector<int32_t> positions(static_cast<std::size_t>(embeds_.dim(0)));
    std::iota(positions.begin(), positions.end(), 0);
    if (options_.is_isolated && bundle_.has("inputs_embeds")) {
      embeds_ = device(bundle_.floats("inputs_embeds"), model.dtype());
    }
    pass_ = model.decoder.begin_pass(ctx_, positions, slices_, embeds_.dtype());
    hidden_ = model.decoder.forward(ctx_, embeds_, pass_, nullptr, decoder_observer());
    const std::string last = "hidden." + std::to_string(model.config.decoder.num_hidden_layers);
    if (options_.is_isolated && bundle_.has(last)) {
      hidden_ = device(bundle_.floats(last), model.dtype());
    }
    check_logits();
  }

  model::Observer decoder_observer() {
    return [this](const std::string& name, const Tensor& value) {
      if (!bundle_.has(name)) return;
      const int32_t index = std::stoi(name.substr(name.find('.') + 1));
      Tensor ours = options_.is_isolated ? isolated_hidden(index, value) : value;
      compare_stage(name, ours, image_depth() + index);
    };
  }

  // Hidden state `index` computed from the bundle's state before it, where there is one.
  Tensor isolated_hidden(int32_t index, const Tensor& ours) {
    if (index == 0) return ours;
    std::string before = "hidden." + std::to_string(index - 1);
    if (index == 1 && !bundle_.has(before)) before = "inputs_embeds";
    if (!bundle_.has(before)) return ours;
    const model::Decoder& decoder = pretrained_.model->decoder;
    const Tensor input = device(bundle_.floats(before), pretrained_.model->dtype());
    Tensor output =
        decoder.layers[static_cast<std::size_t>(index - 1)].forward(ctx_, input, pass_, nullptr);
    if (index == static_cast<int32_t>(decoder.layers.size())) {
      output = decoder.norm.forward(ctx_, output);
    }
    return output;
  }

  void check_logits() {
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

  // The original cuts the head to the tokenizer's size.
  static Tensor first_columns(const Tensor& x, int64_t count) {
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

  void judge_top_one(ComparisonRow& row, const Tensor& ours, const Tensor& reference) const {
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

  void check_generation() {
    if (!bundle_.has("generated_ids")) return;
    const std::vector<int64_t> reference = bundle_.ints("generated_ids");
    const int32_t limit = bundle_.max_new_tokens > 0 ? bundle_.max_new_tokens
                                                     : static_cast<int32_t>(reference.size());
    if (limit == 0) return;
    ModelRunner runner(ctx_, *pretrained_.model, embeds_.dim(0), limit, 1);
    std::vector<float> logits;
    const int32_t sequence = runner.prefill(embeds_, logits);
    GenerationParams params;
    params.max_new_tokens = limit;
    params.end_ids = pretrained_.end_ids();
    params.num_allowed_ids = pretrained_.num_allowed_ids();
    std::vector<float> margins;
    const Generated generated =
        generate(runner, sequence, std::move(logits), params, {},
                 [&](std::span<const float> step) { margins.push_back(top_margin(step)); }, {});
    const std::vector<int64_t> ours(generated.ids.begin(), generated.ids.end());
    ComparisonRow row = compare("generated_ids", ours, reference, num_compared(margins));
    if (!is_judged_) row.verdict = Verdict::kMeasured;
    add(std::move(row));
  }

  // Positions before the first near tie of a 16-bit reference; -1 means all.
  int64_t num_compared(std::span<const float> own_margins) const {
    if (is_float32_) return -1;
    const std::span<const float> margins =
        bundle_.margins.empty() ? own_margins : std::span<const float>(bundle_.margins);
    for (std::size_t i = 0; i < margins.size(); ++i) {
      if (static_cast<double>(margins[i]) < near_tie_margin(bundle_.dtype)) {
        return static_cast<int64_t>(i);
      }
    }
    return -1;
  }

  void check_labels() {
    if (!bundle_.has("labels") && !bundle_.has("loss")) return;
    std::vector<int64_t> labels;
    if (bundle_.has("labels")) labels = bundle_.ints("labels");
    if (!bundle_.messages.empty() && bundle_.conv_mode) {
      const std::vector<int32_t> own = own_labels();
      const std::vector<int64_t> wide(own.begin(), own.end());
      if (bundle_.has("labels")) add(compare("labels", wide, labels));
      if (!options_.is_isolated || labels.empty()) labels = wide;
    }
    if (bundle_.has("loss")) check_loss(labels);
  }

  std::vector<int32_t> own_labels() const {
    const text::ConversationTemplate& conversation =
        text::find_conversation_template(*bundle_.conv_mode);
    return text::supervise(*pretrained_.tokenizer, conversation, messages_of(conversation)).labels;
  }

  void check_loss(std::span<const int64_t> labels) {
    if (labels.size() != prompt_.ids_with_sentinels.size()) return;
    const double loss = mean_cross_entropy(expand_labels(labels));
    const Tensor ours = Tensor::from_floats({1}, std::vector<float>{static_cast<float>(loss)});
    FloatRule loss_rule{.is_judged = is_judged_,
                        .tolerance = is_float32_ ? kLossTolerance : kLossTolerance16};
    add(compare_floats("loss", ours, bundle_.floats("loss").reshape({1}), loss_rule));
  }

  // One label per embedding; pictures are not supervised.
  std::vector<int64_t> expand_labels(std::span<const int64_t> labels) const {
    std::vector<int64_t> expanded;
    std::size_t image = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (prompt_.ids_with_sentinels[i] != text::kImageSentinel) {
        expanded.push_back(labels[i]);
        continue;
      }
      const auto count = static_cast<std::size_t>(prompt_.sequence.images[image++].num_tokens);
      expanded.insert(expanded.end(), count, text::kIgnoreLabel);
    }
    expanded.resize(std::min(expanded.size(), static_cast<std::size_t>(embeds_.dim(0))));
    return expanded;
  }

  double mean_cross_entropy(std::span<const int64_t> labels) {
    double sum = 0;
    int64_t count = 0;
    for (std::size_t i = 0; i + 1 < labels.size(); ++i) {
      const int64_t target = labels[i + 1];
      if (target == text::kIgnoreLabel) continue;
      const auto row = static_cast<int64_t>(i);
      const Tensor logits = host(pretrained_.model->logits(ctx_, hidden_.rows(row, row + 1)));
      auto values = logits.data<float>();
      values = values.first(std::min(values.size(), allowed_columns()));
      sum -= static_cast<double>(log_softmax(values)[static_cast<std::size_t>(target)]);
      ++count;
    }
    // As PyTorch: the mean over nothing is not a number.
    return sum / static_cast<double>(count);
  }

  std::size_t allowed_columns() const {
    return static_cast<std::size_t>(pretrained_.num_allowed_ids());
  }

  Context& ctx_;
  const Pretrained& pretrained_;
  const ReferenceBundle& bundle_;
  const ParityOptions& options_;
  const bool is_judged_;
  const bool is_float32_;
  BundleReport report_;
  std::vector<int32_t> ids_;
  PreparedPrompt prompt_;
  Tensor embeds_, hidden_;
  std::vector<SequenceSlice> slices_;
  model::DecoderPass pass_;
};

}  // namespace

bool BundleReport::has_passed() const {
  return std::none_of(rows.begin(), rows.end(),
                      [](const ComparisonRow& row) { return row.verdict == Verdict::kDiffers; });
}

BundleReport run_parity(Context& ctx, const Pretrained& pretrained, const ReferenceBundle& bundle,
                        const ParityOptions& options) {
  return BundleRun(ctx, pretrained, bundle, options).run();
}

LoadRequest request_for_bundle(LoadRequest request, const ReferenceBundle& bundle) {
  const bool is_from_original = bundle.source.starts_with("llava ");
  if (request.dtype == "auto") request.dtype = dtype_name(bundle.dtype);
  if (request.model_base.empty() && bundle.model_base) {
    request.model_base = bundle.model_base->string();
  }
  if (request.lora.empty()) {
    request.lora = bundle.lora.value_or(is_from_original ? "merged" : "unmerged");
  }
  if (bundle.image_aspect_ratio) request.image_aspect_ratio = *bundle.image_aspect_ratio;
  request.rounds_to_float16 = is_from_original;
  return request;
}

}  // namespace llava::engine
