// SPDX-License-Identifier: Apache-2.0
//
// A DataReport for people and for programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "llava/data/dataset_check.h"

namespace llava::data {

/// A table of what the data are and of the traps, then the samples found.   Threads: safe.
std::string check_report_text(const DataReport& report);

/// The same as one object; its keys are documented in docs/training.md.   Threads: safe.
nlohmann::ordered_json check_report_json(const DataReport& report);

/// A histogram of the lengths (length_histogram_svg).   Threads: safe.
std::string check_report_svg(const DataReport& report);

/// In one line, for the start of a run: "2 missing_picture, 1 placeholders" of the errors.
std::string check_report_errors(const DataReport& report);

}  // namespace llava::data
