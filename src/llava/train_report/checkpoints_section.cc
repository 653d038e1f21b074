// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <string>

#include "llava/train_report/html_text.h"
#include "llava/train_report/number_text.h"
#include "llava/train_report/page_sections.h"

namespace llava::train_report {
namespace {

std::string checkpoint_table(const RunFolder& run) {
  if (run.checkpoints.empty()) return {};
  std::string rows;
  uint64_t bytes = 0;
  for (const CheckpointFolder& checkpoint : run.checkpoints) {
    bytes += checkpoint.bytes;
    rows +=
        fmt::format("<tr><td><code>{}</code></td><td class=\"number\">{}</td><td>{}{}</td></tr>\n",
                    escape_html(checkpoint.name), bytes_text(checkpoint.bytes),
                    checkpoint.can_resume ? "can be resumed from" : "weights alone",
                    checkpoint.is_best ? ", best" : "");
  }
  rows += fmt::format("<tr><td>all</td><td class=\"number\">{}</td><td></td></tr>\n",
                      bytes_text(bytes));
  return "<div class=\"scroll\"><table>\n<thead><tr><th>checkpoint</th><th "
         "class=\"number\">size</th><th></th></tr></thead>\n<tbody>\n" +
         rows + "</tbody></table></div>\n";
}

std::string file_table(const RunFolder& run) {
  if (run.files.empty()) return {};
  std::string rows;
  for (const ResultFile& file : run.files) {
    rows += fmt::format("<tr><td><code>{}</code></td><td class=\"number\">{}</td></tr>\n",
                        escape_html(file.name), bytes_text(file.bytes));
  }
  return "<h3>Files of the run's folder</h3>\n<div class=\"scroll\"><table>\n<thead><tr>"
         "<th>file</th><th class=\"number\">size</th></tr></thead>\n<tbody>\n" +
         rows + "</tbody></table></div>\n";
}

}  // namespace

std::string checkpoints_section(const RunFolder& run) {
  return checkpoint_table(run) + file_table(run);
}

}  // namespace llava::train_report
