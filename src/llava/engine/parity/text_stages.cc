// SPDX-License-Identifier: Apache-2.0
//
// The stages of a bundle that compare ids: prompt, generated ids, labels, and the loss over these.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "llava/core/error.h"
#include "llava/engine/model_runner.h"
#include "llava/engine/parity/bundle_run.h"
#include "llava/engine/token_chooser.h"
#include "llava/text/supervision.h"

namespace llava::engine {
namespace {

constexpr double kLossTolerance = 1e-5;
constexpr double kLossTolerance16 = 2e-2;

}  // namespace

std::string BundleRun::prompt_text() {
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
bool BundleRun::has_two_begins(std::span<const int64_t> reference) const {
  const auto bos = pretrained_.tokenizer->bos_id();
  return bos && reference.size() >= 2 && reference[0] == *bos && reference[1] == *bos;
}

void BundleRun::check_prompt() {
  const std::vector<int64_t> reference =
      bundle_.has("input_ids") ? bundle_.ints("input_ids") : std::vector<int64_t>();
  ids_ = tokenize_prompt(pretrained_, prompt_text(), !has_two_begins(reference));
  if (!bundle_.has("input_ids")) return;
  add(compare("input_ids", bundle_ids(ids_), reference));
  if (!options_.is_isolated) return;
  ids_.clear();
  for (const int64_t id : reference) {
    const bool is_image = pretrained_.is_hugging_face()
                              ? id == pretrained_.description.image_token_id
                              : id == text::kImageSentinel;
    check_id("input_ids", id, is_image);
    ids_.push_back(is_image ? text::kImageSentinel : static_cast<int32_t>(id));
  }
}

void BundleRun::check_id(const char* tensor, int64_t id, bool is_special) const {
  if (is_special || (id >= 0 && id < pretrained_.num_allowed_ids())) return;
  fail(ErrorCode::kBadFormat,
       "{}: tensor '{}' holds {}, expected token ids below {}: the bundle is of another checkpoint",
       bundle_.path().string(), tensor, id, pretrained_.num_allowed_ids());
}

// Bundles of Hugging Face checkpoints hold the image token's id where we hold the sentinel.
std::vector<int64_t> BundleRun::bundle_ids(std::span<const int32_t> ids) const {
  std::vector<int64_t> result(ids.begin(), ids.end());
  if (!pretrained_.is_hugging_face()) return result;
  for (int64_t& id : result) {
    if (id == text::kImageSentinel) id = *pretrained_.description.image_token_id;
  }
  return result;
}

std::string BundleRun::text_of(std::span<const int64_t> ids) const {
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

ComparisonRow BundleRun::compare(const std::string& name, std::span<const int64_t> ours,
                                 std::span<const int64_t> reference, int64_t num_compared) const {
  return compare_ids(name, ours, reference, num_compared,
                     [this](std::span<const int64_t> ids) { return text_of(ids); });
}

std::vector<text::Message> BundleRun::messages_of(
    const text::ConversationTemplate& conversation) const {
  std::vector<text::Message> messages;
  for (const auto& [role, message] : bundle_.messages) {
    messages.push_back({.role = text::resolve_role(conversation, role), .text = message});
  }
  return messages;
}

void BundleRun::check_generation() {
  if (!bundle_.has("generated_ids")) return;
  const std::vector<int64_t> reference = bundle_.ints("generated_ids");
  const int32_t limit =
      bundle_.max_new_tokens > 0 ? bundle_.max_new_tokens : static_cast<int32_t>(reference.size());
  if (limit == 0) return;
  std::vector<float> margins;
  const std::vector<int64_t> ours = greedy_ids(limit, margins);
  ComparisonRow row = compare("generated_ids", ours, reference, num_compared(margins));
  if (!is_judged_) row.verdict = Verdict::kMeasured;
  add(std::move(row));
}

// The ids that follow the stage's embeddings, step by step as the engine would compute them, and
// how clearly each was chosen.
std::vector<int64_t> BundleRun::greedy_ids(int32_t limit, std::vector<float>& margins) {
  constexpr int32_t kPageSize = 64;
  constexpr uint64_t kEmbeddings = 1;
  const auto num_rows = static_cast<int32_t>(embeds_.dim(0));
  const int32_t num_pages = (num_rows + limit + kPageSize - 1) / kPageSize;
  ModelRunner runner(ctx_, *pretrained_.model, pretrained_.model->dtype(), num_pages, kPageSize);
  // The prompt is given as rows, so it enters as one picture would.
  runner.put_features(kEmbeddings, embeds_);
  StepPlan plan;
  plan.items.resize(1);
  StepItem& item = plan.items.front();
  item.pages.resize(static_cast<std::size_t>(num_pages));
  std::iota(item.pages.begin(), item.pages.end(), 0);
  for (int32_t i = 0; i < num_rows; ++i) item.symbols.push_back({.image = kEmbeddings, .value = i});
  item.first_logits = num_rows - 1;
  const std::vector<int32_t> end_ids = pretrained_.end_ids();
  TokenChooser chooser({}, {.end_ids = end_ids, .num_ids = pretrained_.num_allowed_ids()});
  ChooserScratch scratch;
  StepLogits logits;
  std::vector<int64_t> ids;
  for (;;) {
    runner.run(plan, logits);
    margins.push_back(top_margin(logits.row(0)));
    const int32_t id = chooser.choose(logits.row(0), scratch).id;
    chooser.accept(id);
    ids.push_back(id);
    if (std::ranges::find(end_ids, id) != end_ids.end()) return ids;
    if (static_cast<int32_t>(ids.size()) == limit) return ids;
    item.num_past += static_cast<int32_t>(item.symbols.size());
    item.symbols = {{.image = 0, .value = id}};
    item.first_logits = 0;
  }
}

// Positions before the first near tie of a 16-bit reference; -1 means all.
int64_t BundleRun::num_compared(std::span<const float> own_margins) const {
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

void BundleRun::check_labels() {
  if (!bundle_.has("labels") && !bundle_.has("loss")) return;
  std::vector<int64_t> labels = given_labels();
  if (!bundle_.messages.empty() && bundle_.conv_mode) {
    const std::vector<int64_t> own = own_labels();
    if (bundle_.has("labels")) add(compare("labels", own, labels));
    if (!options_.is_isolated || labels.empty()) labels = own;
  }
  if (bundle_.has("loss")) check_loss(labels);
}

std::vector<int64_t> BundleRun::given_labels() const {
  if (!bundle_.has("labels")) return {};
  std::vector<int64_t> labels = bundle_.ints("labels");
  for (const int64_t label : labels) check_id("labels", label, label == text::kIgnoreLabel);
  return labels;
}

std::vector<int64_t> BundleRun::own_labels() const {
  const text::ConversationTemplate& conversation =
      text::find_conversation_template(*bundle_.conv_mode);
  const std::vector<int32_t> labels =
      text::supervise(*pretrained_.tokenizer, conversation, messages_of(conversation)).labels;
  return {labels.begin(), labels.end()};
}

void BundleRun::check_loss(std::span<const int64_t> labels) {
  if (labels.size() != prompt_.ids_with_sentinels.size()) {
    add({.name = "loss",
         .verdict = Verdict::kDiffers,
         .note = fmt::format("{} labels for {} ids", labels.size(),
                             prompt_.ids_with_sentinels.size())});
    return;
  }
  const double loss = mean_cross_entropy(expand_labels(labels));
  const Tensor ours = Tensor::from_floats({1}, std::vector<float>{static_cast<float>(loss)});
  FloatRule loss_rule{.is_judged = is_judged_,
                      .tolerance = is_float32_ ? kLossTolerance : kLossTolerance16};
  add(compare_floats("loss", ours, bundle_.floats("loss").reshape({1}), loss_rule));
}

// One label per embedding; pictures are not supervised.
std::vector<int64_t> BundleRun::expand_labels(std::span<const int64_t> labels) const {
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

double BundleRun::mean_cross_entropy(std::span<const int64_t> labels) {
  double sum = 0;
  int64_t count = 0;
  for (std::size_t i = 0; i + 1 < labels.size(); ++i) {
    const int64_t target = labels[i + 1];
    if (target == text::kIgnoreLabel) continue;
    const auto row = static_cast<int64_t>(i);
    const Tensor logits = host(pretrained_.model->logits(ctx_, hidden_.rows(row, row + 1)));
    auto values = logits.data<float>();
    values = values.first(
        std::min(values.size(), static_cast<std::size_t>(pretrained_.num_allowed_ids())));
    sum -= static_cast<double>(log_softmax(values)[static_cast<std::size_t>(target)]);
    ++count;
  }
  // As PyTorch: the mean over nothing is not a number.
  return sum / static_cast<double>(count);
}

}  // namespace llava::engine
