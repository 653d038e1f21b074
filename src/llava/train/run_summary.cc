// SPDX-License-Identifier: Apache-2.0
#include "llava/train/run_summary.h"

#include <filesystem>

#include "llava/core/file.h"
#include "llava/core/json.h"

namespace llava::train {

namespace fs = std::filesystem;

void finish_run(FinishedRun run, RunReporter& reporter) {
  Progress& progress = run.progress;
  const OptimizationArguments& o = run.config.optimization;
  const auto steps = static_cast<double>(progress.global_step);
  const double samples = o.max_steps > 0
                             ? steps * static_cast<double>(run.samples_per_step)
                             : static_cast<double>(run.num_samples) * o.num_train_epochs;
  Json summary = {{"train_runtime", round_decimals(run.seconds, 4)},
                  {"train_samples_per_second", round_decimals(samples / run.seconds, 3)},
                  {"train_steps_per_second", round_decimals(steps / run.seconds, 3)},
                  {"total_flos", progress.total_flos},
                  {"train_loss", run.mean_loss},
                  {"epoch", round_decimals(progress.epochs_done, 2)}};
  reporter.report_summary(progress.global_step, summary);
  summary["step"] = progress.global_step;
  progress.log_history.push_back(summary);
  const fs::path folder = run.config.run.output_dir;
  write_file_atomically(
      folder / "trainer_state.json",
      to_text(trainer_state(run.config, progress, run.num_steps, run.num_epochs), 2) + "\n");
  write_file_atomically(folder / "training_args.json", to_text(to_json(run.config), 2) + "\n");
}

}  // namespace llava::train
