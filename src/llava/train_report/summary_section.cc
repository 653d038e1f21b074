// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <string>

#include "llava/train_report/json_lines.h"
#include "llava/train_report/number_text.h"
#include "llava/train_report/page_sections.h"

namespace llava::train_report {
namespace {

bool is_set(const Json& arguments, const char* flag) {
  const auto found = arguments.find(flag);
  return found != arguments.end() && found->is_boolean() && found->get<bool>();
}

// "stage" is not a flag of every version; what it names is said as it is.
std::string trained_parts(const Json& arguments) {
  if (!arguments.is_object()) return {};
  const std::string stage = text_of(arguments, "stage");
  if (stage == "contrastive") return "vision tower, contrastively";
  if (is_set(arguments, "tune-mm-mlp-adapter")) return "projector alone (stage 1)";
  std::string parts = "language model";
  if (is_set(arguments, "lora-enable")) {
    parts = fmt::format("adapters of rank {} (alpha {})", count_of(arguments, "lora-r"),
                        number_text(number_of(arguments, "lora-alpha")));
  } else if (is_set(arguments, "freeze-backbone")) {
    parts = "language model's head";
  }
  const bool has_tower = !text_of(arguments, "vision-tower").empty();
  if (has_tower && !is_set(arguments, "freeze-mm-mlp-adapter")) parts += ", projector";
  if (has_tower && is_set(arguments, "tune-vision-tower")) parts += ", vision tower";
  return parts;
}

std::string model_shape(const Json& config) {
  if (!config.is_object()) return {};
  std::string out = text_of(config, "model_type");
  const uint64_t layers = count_of(config, "num_hidden_layers");
  const uint64_t width = count_of(config, "hidden_size");
  if (layers > 0 && width > 0) {
    out += fmt::format("{}{} layers, width {}", out.empty() ? "" : ", ", layers, count_text(width));
  }
  return out;
}

std::string progress_text(const RunFolder& run) {
  const uint64_t step = run.log.last_step();
  const uint64_t planned = run.num_steps();
  if (run.is_finished()) return fmt::format("finished after {} steps", count_text(step));
  if (planned == 0 || step > planned)
    return fmt::format("not finished; {} steps", count_text(step));
  return fmt::format("not finished: {} of {} steps ({})", count_text(step), count_text(planned),
                     share_text(step, planned));
}

std::string last_loss(const RunLog& log) {
  for (auto it = log.steps().rbegin(); it != log.steps().rend(); ++it) {
    if (std::isfinite(it->loss)) {
      return fmt::format("{} (step {})", number_text(it->loss), count_text(it->step));
    }
  }
  return {};
}

std::string best_evaluation(const RunLog& log) {
  const Evaluation* best = nullptr;
  for (const Evaluation& evaluation : log.evaluations()) {
    if (!std::isfinite(evaluation.loss)) continue;
    if (best == nullptr || evaluation.loss < best->loss) best = &evaluation;
  }
  if (best == nullptr) return {};
  return fmt::format("{} (step {})", number_text(best->loss), count_text(best->step));
}

std::string rates_text(const RunTotals& totals) {
  if (totals.seconds <= 0 || totals.tokens == 0) return {};
  const double rate = static_cast<double>(totals.tokens) / totals.seconds;
  return fmt::format("{} ({} of them trained)", number_text(rate),
                     share_text(totals.label_tokens, totals.tokens));
}

}  // namespace

std::string summary_section(const RunFolder& run) {
  const Json& arguments = run.arguments;
  const Json none = Json::object();
  const Json& given = arguments.is_object() ? arguments : none;
  const RunTotals totals = sum_up(run.log);
  std::string facts;
  facts += fact("State", progress_text(run));
  facts += fact("Base", text_of(given, "model-name-or-path"));
  facts += fact("Vision tower", text_of(given, "vision-tower"));
  facts += fact("Model", model_shape(run.config));
  facts += fact("Trained", trained_parts(arguments));
  if (!run.log.steps().empty() && std::isfinite(run.log.steps().back().epoch)) {
    facts += fact("Epochs", number_text(run.log.steps().back().epoch));
  }
  if (totals.seconds > 0) facts += fact("Time in steps", duration_text(totals.seconds));
  if (run.log.summary()) {
    const double seconds = number_of(*run.log.summary(), "train_runtime");
    if (std::isfinite(seconds)) {
      facts += fact("Time of the last start, loading included", duration_text(seconds));
    }
    const double mean = number_of(*run.log.summary(), "train_loss");
    if (std::isfinite(mean)) facts += fact("Mean loss of all steps (nats)", number_text(mean));
  }
  facts += fact("Tokens per second", rates_text(totals));
  facts += fact("Last loss (nats)", last_loss(run.log));
  facts += fact("Best evaluation loss (nats)", best_evaluation(run.log));
  facts += fact("Device", text_of(given, "device"));
  return "<dl class=\"facts\">\n" + facts + "</dl>\n";
}

}  // namespace llava::train_report
