// SPDX-License-Identifier: Apache-2.0
//
// ScienceQA as training data: the conversion that the original publishes as a script, with its
// prompt formats.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace llava::data {

/// Question and answer of one problem.
struct SciencePrompt {
  std::string input;
  std::string output;
};

/// Writes a problem as text.
///
/// `prompt_format` is what the question has, a dash and what the answer has: Q question, C context,
/// M options, L lecture, E solution, A answer, P separate lines. In "AL" and "AE" lecture and
/// solution are swapped, as published.
/// Throws: Error(kInvalidArgument) listing the formats for an unknown one; Error(kBadFormat) naming
/// the problem and the key for a problem of another form.   Threads: safe.
/// Source: LLaVA 1.2.2 `scripts/convert_sqa_to_llava_base_prompt.py`.
SciencePrompt science_prompt(const nlohmann::json& problem, std::string_view id,
                             std::string_view prompt_format);

/// What is converted: `problems.json` and `pid_splits.json` of a folder.
struct ScienceQaRequest {
  std::filesystem::path base_dir;
  std::string split;  ///< a key of pid_splits.json: train, val, minival, test, minitest
  std::string prompt_format;
};

/// A file that was written.
struct ConvertedFile {
  std::filesystem::path path;
  int64_t num_samples = 0;
};

/// Writes `llava_{split}_{prompt_format}.json` into the folder: a training file.
///
/// Throws: Error(kNotFound), Error(kBadFormat), Error(kInvalidArgument) naming the file, the split
/// or the problem.   Source: LLaVA 1.2.2 `scripts/convert_sqa_to_llava.py`, convert_to_llava.
ConvertedFile science_qa_to_llava(const ScienceQaRequest& request);

/// Writes `scienceqa_{split}_{prompt_format}.jsonl`: id, image, instruction and output a line.
///
/// Throws: as science_qa_to_llava.   Source: the same script, convert_to_jsonl.
ConvertedFile science_qa_to_jsonl(const ScienceQaRequest& request);

}  // namespace llava::data
