// SPDX-License-Identifier: Apache-2.0
//
// Expecting an Error with a code and words in its message.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "llava/core/error.h"

namespace llava::testing {

/// Runs `action` and expects Error(code) whose message contains every one of `words`.
template <class Action>
void expect_error(ErrorCode code, std::initializer_list<std::string> words, Action&& action) {
  try {
    action();
    ADD_FAILURE() << "no error was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(error_code_name(e.code()), error_code_name(code)) << e.what();
    for (const std::string& word : words) EXPECT_THAT(e.what(), ::testing::HasSubstr(word));
  }
}

}  // namespace llava::testing
