// SPDX-License-Identifier: Apache-2.0
//
// The bodies of the page's sections, empty where the run has nothing for one.   Threads: safe.
#pragma once

#include <string>

#include "llava/train_report/page.h"

namespace llava::train_report {

/// What was trained, how far, how long, how fast.
std::string summary_section(const RunFolder& run);
/// Loss, evaluation loss, learning rate, gradient norm, tokens per second.
std::string curves_section(const RunFolder& run);
/// Flags: those that differ from the defaults first.
std::string configuration_section(const RunFolder& run, const PageOptions& options);
/// What the run was trained on, and what a check found.
std::string data_section(const RunFolder& run);
/// Checkpoints and the result, with their sizes.
std::string checkpoints_section(const RunFolder& run);
/// Questions with their pictures, expected answers and the model's.
std::string predictions_section(const RunFolder& run, const PageOptions& options);

/// One fact of a <dl class="facts">; both texts are escaped here. Empty for an empty value.
std::string fact(const std::string& name, const std::string& value);
/// A JSON value as text: strings without quotes, "not set" for null and for an empty string.
std::string value_text(const Json& value);
/// Wraps facts, tables and so on; empty for an empty body.
std::string section(const std::string& id, const std::string& title, const std::string& body);

}  // namespace llava::train_report
