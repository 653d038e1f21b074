// SPDX-License-Identifier: Apache-2.0
#include "conversion_report.h"

#include "llava/core/json.h"

namespace llava::app {

void print_conversion(const engine::ConversionReport& report, bool as_json) {
  constexpr double kMiB = 1024.0 * 1024.0;
  if (!as_json) {
    fmt::print("{}: {} tensors, {:.1f} MiB in {:.1f} s\n", report.output, report.num_tensors,
               static_cast<double>(report.bytes) / kMiB, report.seconds);
    return;
  }
  OrderedJson json;
  json["output"] = report.output;
  json["tensors"] = report.num_tensors;
  json["bytes"] = report.bytes;
  json["seconds"] = report.seconds;
  fmt::print("{}\n", to_text(json));
}

}  // namespace llava::app
