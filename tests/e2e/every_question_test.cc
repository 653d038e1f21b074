// SPDX-License-Identifier: Apache-2.0
//
// All recorded questions through `llava run`, one process each: a minute of loading. A tenth of
// them is asked in bundled_model_test.cc, and all of them through the library.
#include "bundled_questions.h"

namespace llava::testing {
namespace {

using EveryQuestion = BundledQuestions;

TEST_F(EveryQuestion, ProgramAnswersAsPyTorch) {
  for (const Json& question : questions_) expect_program_answers(question);
}

}  // namespace
}  // namespace llava::testing
