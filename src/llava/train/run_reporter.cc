// SPDX-License-Identifier: Apache-2.0
#include "llava/train/run_reporter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"

namespace llava::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLinesFile = "train_log.jsonl";
constexpr const char* kPredictionsFile = "predictions.jsonl";
constexpr uint64_t kMaxLogBytes = uint64_t{1} << 32;

// The lines of an earlier part of the run, up to the step that it is resumed from.
std::string kept_lines(const fs::path& file, int64_t resumed_step) {
  if (resumed_step == 0 || !fs::exists(file)) return "";
  std::string kept;
  const std::string text = read_file(file, kMaxLogBytes);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const Json entry = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    // A torn last line of a killed run is no JSON.
    if (entry.is_object() && entry.value("step", int64_t{0}) <= resumed_step) kept += line + "\n";
  }
  return kept;
}

// Opens a file of lines to go on in it.
std::ofstream open_lines(const fs::path& file, int64_t resumed_step) {
  write_file_atomically(file, kept_lines(file, resumed_step));
  std::ofstream lines(file, std::ios::app);
  if (!lines) fail(ErrorCode::kNotFound, "cannot write '{}'", file.string());
  return lines;
}

void write_line(std::ofstream& lines, const Json& line) {
  if (!lines.is_open()) return;
  lines << to_text(line) << '\n';
  lines.flush();
}

}  // namespace

RunReporter::RunReporter(const RunArguments& run, int64_t num_steps, int64_t resumed_step)
    : num_steps_(num_steps),
      shows_progress_(!run.disable_tqdm),
      last_report_(std::chrono::steady_clock::now()) {
  const fs::path folder = run.output_dir;
  const bool reports_all = run.report_to == "all" || run.report_to == "wandb";
  if (reports_all || run.report_to == "json") {
    lines_ = open_lines(folder / kLinesFile, resumed_step);
    if (!run.eval_data_path.empty() && run.eval_predictions > 0) {
      predictions_ = open_lines(folder / kPredictionsFile, resumed_step);
    }
  }
  if (reports_all || run.report_to == "tensorboard") {
    // Of a path, as the original's scripts give it, the last part.
    tensorboard_ =
        std::make_unique<TensorBoardWriter>(folder / "runs" / fs::path(run.run_name).filename());
  }
  if (shows_progress_) bar_.emplace("training");
}

void RunReporter::report(const LogEntry& entry, const StepCounts& counts) {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::max(1e-9, std::chrono::duration<double>(now - last_report_).count());
  last_report_ = now;
  if (bar_) bar_->clear();
  fmt::print("{}\n", to_line(entry));
  std::fflush(stdout);
  const double tokens_per_second = static_cast<double>(counts.tokens) / seconds;
  Json line = to_json(entry);
  line["grad_norm"] = counts.gradient_norm;
  line["label_tokens"] = counts.label_tokens;
  line["tokens"] = counts.tokens;
  line["samples"] = counts.sample_indices;
  line["micro_losses"] = counts.micro_losses;
  line["ignored_samples"] = counts.ignored_samples;
  line["skipped_steps"] = counts.skipped_steps;
  line["seconds"] = round_decimals(seconds, 3);
  line["tokens_per_second"] = round_decimals(tokens_per_second, 1);
  write_line(lines_, line);
  if (tensorboard_ == nullptr) return;
  tensorboard_->add_scalar("train/loss", entry.loss, entry.step);
  tensorboard_->add_scalar("train/learning_rate", entry.learning_rate, entry.step);
  tensorboard_->add_scalar("train/epoch", entry.epoch, entry.step);
  tensorboard_->add_scalar("train/grad_norm", counts.gradient_norm, entry.step);
  tensorboard_->add_scalar("train/tokens_per_second", tokens_per_second, entry.step);
}

void RunReporter::report_evaluation(int64_t step, double epoch, double loss,
                                    const std::map<std::string, double>& more) {
  if (bar_) bar_->clear();
  std::string text = fmt::format("'eval_loss': {}", loss);
  Json line = {{"eval_loss", loss}, {"epoch", epoch}, {"step", step}};
  for (const auto& [name, value] : more) {
    text += fmt::format(", 'eval_{}': {}", name, value);
    line["eval_" + name] = value;
  }
  fmt::print("{{{}, 'epoch': {}}}\n", text, epoch);
  std::fflush(stdout);
  write_line(lines_, line);
  if (tensorboard_ == nullptr) return;
  tensorboard_->add_scalar("eval/loss", loss, step);
  for (const auto& [name, value] : more) tensorboard_->add_scalar("eval/" + name, value, step);
}

void RunReporter::report_predictions(const std::vector<Json>& predictions) {
  for (const Json& prediction : predictions) write_line(predictions_, prediction);
}

void RunReporter::report_summary(int64_t step, const Json& summary) {
  if (bar_) bar_->clear();
  std::string text;
  for (const auto& [name, value] : summary.items()) {
    text += fmt::format("{}'{}': {}", text.empty() ? "" : ", ", name, value.dump());
  }
  fmt::print("{{{}}}\n", text);
  std::fflush(stdout);
  Json line = summary;
  line["step"] = step;
  write_line(lines_, line);
  if (tensorboard_ == nullptr) return;
  for (const auto& [name, value] : summary.items()) {
    if (value.is_number()) tensorboard_->add_scalar("train/" + name, value.get<double>(), step);
  }
}

void RunReporter::update_progress(int64_t step) {
  if (bar_) bar_->update(static_cast<uint64_t>(step), static_cast<uint64_t>(num_steps_));
}

}  // namespace llava::train
