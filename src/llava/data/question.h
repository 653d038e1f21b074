// SPDX-License-Identifier: Apache-2.0
//
// The first question of a record as a model in training is asked it, to see what it answers.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "llava/data/record.h"
#include "llava/data/sample.h"
#include "llava/data/sample_maker.h"

namespace llava::data {

/// A question and the answer that the data has.
struct Question {
  Sample sample;          ///< ids up to where the answer begins, without a label; the pictures
  std::string prompt;     ///< what the user says, without placeholders of pictures
  std::string reference;  ///< empty where the record has no answer
};

/// The first turn of a record under the run's template, its answer left open. Of `plain` the
/// picture alone; of all others the prompt that inference has for the template.
///
/// Throws: what SampleMaker::make throws.   Threads: safe.
Question first_question(const SampleMaker& maker, const Record& record);

/// The text of an answer's first ids.
struct AnswerText {
  std::string text;      ///< without space around it and what ends it
  bool is_over = false;  ///< they have what ends an answer
};

/// Threads: safe.
AnswerText answer_text(const SampleMaker& maker, std::span<const int32_t> ids);

}  // namespace llava::data
