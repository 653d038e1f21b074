// SPDX-License-Identifier: Apache-2.0
#include "llava/train/check_data.h"

#include <filesystem>
#include <string>
#include <utility>

#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/core/log.h"
#include "llava/core/progress.h"
#include "llava/data/check_report.h"
#include "llava/data/dataset_check.h"

namespace llava::train {

namespace fs = std::filesystem;

// Characters of the list of bad samples in a message.
constexpr std::size_t kMostListed = 2000;

std::vector<int32_t> check_data(const TrainConfig& config, const data::ConversationFile& file,
                                const data::SampleMaker& maker, ThreadPool& pool, bool looks) {
  if (config.data.skip_data_check || !looks) {
    try {
      return file.lengths(data::Grouping::kLength, pool);
    } catch (const Error&) {
      // A record that is bad is named when it is due.
      return std::vector(static_cast<std::size_t>(file.size()),
                         config.optimization.model_max_length);
    }
  }
  ProgressBar bar("checking data");
  data::CheckOptions options{.maker = &maker, .pictures = maker.rules().pictures};
  options.depth = data::PictureDepth::kHeader;
  options.progress = [&bar](uint64_t done, uint64_t total) { bar.update(done, total); };
  data::DataReport report = data::check_dataset(file, options, pool);
  bar.clear();
  // For `llava train report`.
  write_file_atomically(fs::path(config.run.output_dir) / "data_check.json",
                        to_text(data::check_report_json(report), 2) + "\n");
  log_info("data_checked",
           {{"samples", std::to_string(report.num_samples)},
            {"trained_tokens", std::to_string(report.num_labels)},
            {"untrained_samples", std::to_string(report.count(data::Trap::kUntrained))},
            {"cut_samples", std::to_string(report.count(data::Trap::kCut))}});
  if (report.passes()) return std::move(report.lengths);
  const std::string errors = data::check_report_errors(report);
  // The original does not look, and goes on until a sample stops it.
  const bool is_reference = config.compat() == Compat::kReference;
  if (is_reference || config.data.on_bad_sample != "fail") {
    log_warning("bad_data", {{"errors", errors}, {"policy", config.data.on_bad_sample}});
    return std::move(report.lengths);
  }
  std::string list;
  for (const data::Finding& finding : report.findings) {
    if (report.is_error(finding.trap) && list.size() < kMostListed) list += "\n  " + finding.what;
  }
  fail(ErrorCode::kBadFormat,
       "'{}' is not fit to train on: {}.{}\n'llava data check' has the whole list. Mend the data, "
       "choose --on-bad-sample skip or substitute, or give --skip-data-check",
       file.source(), errors, list);
}

}  // namespace llava::train
