// SPDX-License-Identifier: Apache-2.0
//
// What a fuzz target may swallow: a refusal. Any other exception is a finding.
#pragma once

#include "llava/core/error.h"

template <class Action>
void attempt(Action&& action) {
  try {
    action();
  } catch (const llava::Error&) {
  }
}
