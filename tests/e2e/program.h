// SPDX-License-Identifier: Apache-2.0
//
// The program under test, and the golden checkpoints and pictures it is run on.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "support/process.h"

namespace llava::testing {

/// How the tests start the program: two threads, no proxy, no hub, nothing of the user's own.
ProcessRequest program_request(std::vector<std::string> arguments);

/// Runs `llava ARGUMENTS...` to its end.
ProcessResult run_llava(std::vector<std::string> arguments, std::string_view input = {});

/// The one JSON document on standard output; records a failure when there is anything else.
Json json_of(const ProcessResult& result);

/// The message of `{"error": ...}` on standard output, after checking status and code, and that
/// standard error says the same.
std::string error_of(const ProcessResult& result, int status, const std::string& code);

/// Paths below tests/golden.
std::string golden_model(const std::string& name);
std::string golden_image(const std::string& name);
std::string golden_bundle(const std::string& name);

/// Optional reference data beside the checkout; empty where it is absent.
std::filesystem::path shared_golden(const std::string& path);

/// Arguments that every question about a golden model has: greedy, few tokens, JSON.
std::vector<std::string> ask_golden(const std::string& model, const std::string& image,
                                    const std::string& query);

std::vector<std::string> operator+(std::vector<std::string> first,
                                   const std::vector<std::string>& second);

std::string read_text(const std::filesystem::path& path);

}  // namespace llava::testing
