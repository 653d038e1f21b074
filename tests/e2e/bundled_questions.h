// SPDX-License-Identifier: Apache-2.0
//
// The questions to the bundled model that were recorded with its PyTorch original.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "llava/core/json.h"

namespace llava::testing {

/// Fixture with the fifty questions and their answers; skips where they, or the language model that
/// scripts/setup fetches, are not there.
class BundledQuestions : public ::testing::Test {
 protected:
  void SetUp() override;

  std::string picture(const Json& question) const;
  /// Asks the program, which loads the model anew, and compares prompt, ids and text.
  void expect_program_answers(const Json& question) const;
  /// The question in greedy search, without a compute type.
  std::vector<std::string> arguments(const Json& question) const;

  Json questions_;

 private:
  std::filesystem::path folder_;
};

}  // namespace llava::testing
