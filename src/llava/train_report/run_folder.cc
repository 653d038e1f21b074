// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/run_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <string_view>
#include <system_error>
#include <utility>

#include "llava/core/error.h"
#include "llava/train_report/json_lines.h"

namespace llava::train_report {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCheckpointPrefix = "checkpoint-";
constexpr const char* kLogFile = "train_log.jsonl";
constexpr const char* kStateFile = "trainer_state.json";
constexpr const char* kArgumentsFile = "training_args.json";
constexpr const char* kCheckFile = "data_check.json";
constexpr const char* kPredictionsFile = "predictions.jsonl";
constexpr std::array<std::string_view, 4> kRecords{kLogFile, kStateFile, kCheckFile,
                                                   kPredictionsFile};

std::optional<uint64_t> step_of(std::string_view name) {
  if (!name.starts_with(kCheckpointPrefix)) return std::nullopt;
  name.remove_prefix(kCheckpointPrefix.size());
  uint64_t step = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return step;
}

// Of the files below, without following links to folders. What vanishes meanwhile does not count.
uint64_t bytes_below(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code own;
    const uint64_t size = it->is_regular_file(own) ? it->file_size(own) : 0;
    if (!own) bytes += size;
  }
  return bytes;
}

class Reader {
 public:
  explicit Reader(const fs::path& path) {
    run_.path = path;
    run_.name = fs::absolute(path).lexically_normal().filename().string();
    if (run_.name.empty()) {
      run_.name = fs::absolute(path).lexically_normal().parent_path().filename().string();
    }
  }

  RunFolder read(const fs::path& data_check) {
    list();
    const bool is_run = fs::exists(run_.path / kLogFile) || fs::exists(run_.path / kStateFile) ||
                        !run_.checkpoints.empty();
    if (!is_run) {
      fail(
          ErrorCode::kBadFormat,
          "'{}' is not the folder of a training run: it has no {}, no {} and no checkpoint-N; give "
          "the --output_dir of a run",
          run_.path.string(), kLogFile, kStateFile);
    }
    run_.trainer_state = read_object(kStateFile);
    run_.arguments = read_object(kArgumentsFile);
    run_.config = read_object("config.json");
    mark_best();
    read_log();
    if (data_check.empty()) {
      if (fs::exists(run_.path / kCheckFile)) run_.data_check = read_file(run_.path / kCheckFile);
    } else {
      run_.data_check = given_check(data_check);
    }
    if (fs::exists(run_.path / kPredictionsFile)) {
      read_lines(kPredictionsFile, [&](const Json& line) { run_.predictions.add(line); });
    }
    return std::move(run_);
  }

 private:
  void list() {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(run_.path, error)) {
      const std::string name = entry.path().filename().string();
      std::error_code own;
      if (entry.is_directory(own)) {
        if (const auto step = step_of(name)) {
          run_.checkpoints.push_back({.name = name,
                                      .step = *step,
                                      .bytes = bytes_below(entry.path()),
                                      .can_resume = fs::exists(entry.path() / "run_state.json")});
        } else if (name.starts_with("tmp-checkpoint-")) {
          run_.problems.push_back(
              fmt::format("{} is a checkpoint that is being written, or was when the run ended; "
                          "nothing is read from it",
                          name));
        }
      } else if (entry.is_regular_file(own) &&
                 std::ranges::find(kRecords, name) == kRecords.end() && !name.ends_with(".html")) {
        const uint64_t bytes = entry.file_size(own);
        if (!own) run_.files.push_back({.name = name, .bytes = bytes});
      }
    }
    if (error) {
      fail(ErrorCode::kNotFound, "cannot read the folder '{}': {}", run_.path.string(),
           error.message());
    }
    std::ranges::sort(run_.checkpoints, {}, &CheckpointFolder::step);
    std::ranges::sort(run_.files, {}, &ResultFile::name);
  }

  // The folder's own file, else that of the newest checkpoint that has it.
  Json read_object(const char* name) {
    if (fs::exists(run_.path / name)) return read_file(run_.path / name);
    for (auto it = run_.checkpoints.rbegin(); it != run_.checkpoints.rend(); ++it) {
      const fs::path path = run_.path / it->name / name;
      if (fs::exists(path)) return read_file(path);
    }
    return {};
  }

  Json read_file(const fs::path& path) {
    try {
      Json object = read_json_file(path);
      if (object.is_object()) return object;
      run_.problems.push_back(path.filename().string() + " is no JSON object and is left out");
    } catch (const Error& error) {
      run_.problems.push_back(fmt::format("left out: {}", error.what()));
    }
    return {};
  }

  static Json given_check(const fs::path& path) {
    Json report = read_json_file(path);
    if (!report.is_object() || !report.contains("samples") || !report.contains("traps")) {
      fail(ErrorCode::kBadFormat,
           "'{}' is no report on data, expected an object with 'samples' and 'traps': make it with "
           "'llava data check FILE --json'",
           path.string());
    }
    return report;
  }

  void read_lines(const char* name, const std::function<void(const Json&)>& take) {
    try {
      const std::string problem = read_json_lines(run_.path / name, take).text();
      if (!problem.empty()) run_.problems.push_back(problem);
    } catch (const Error& error) {
      run_.problems.push_back(fmt::format("left out: {}", error.what()));
    }
  }

  void read_log() {
    if (fs::exists(run_.path / kLogFile)) {
      read_lines(kLogFile, [&](const Json& line) { run_.log.add(line); });
    }
    if (!run_.log.empty() || !run_.trainer_state.is_object()) return;
    const auto history = run_.trainer_state.find("log_history");
    if (history == run_.trainer_state.end() || !history->is_array()) return;
    uint64_t num_bad = 0;
    for (const Json& entry : *history) {
      try {
        run_.log.add(entry);
      } catch (const Error&) {
        ++num_bad;
      }
    }
    if (num_bad > 0) {
      run_.problems.push_back(
          fmt::format("{}: {} entries of log_history have no step and are left "
                      "out",
                      kStateFile, num_bad));
    }
  }

  void mark_best() {
    if (!run_.trainer_state.is_object()) return;
    const fs::path best = text_of(run_.trainer_state, "best_model_checkpoint");
    for (CheckpointFolder& checkpoint : run_.checkpoints) {
      checkpoint.is_best = best.filename() == checkpoint.name;
    }
  }

  RunFolder run_;
};

}  // namespace

uint64_t RunFolder::num_steps() const {
  if (trainer_state.is_object()) {
    if (const uint64_t steps = count_of(trainer_state, "max_steps")) return steps;
  }
  return arguments.is_object() ? count_of(arguments, "max-steps") : 0;
}

RunFolder read_run_folder(const fs::path& path, const fs::path& data_check) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    fail(ErrorCode::kNotFound,
         "there is no folder '{}', expected that of a training run; give the --output_dir of a run",
         path.string());
  }
  return Reader(path).read(data_check);
}

}  // namespace llava::train_report
