// SPDX-License-Identifier: Apache-2.0
//
// Recipes: flags in a file, JSON with comments, one key a flag.
#pragma once

#include "command.h"

namespace llava::app {

/// Replaces `--recipe FILE` by the flags of the file, which come first: those of the command line
/// win. Keys are flags with hyphens or underscores; a list repeats its flag, null leaves it out.
/// Without --recipe the arguments stay as they are.
///
/// Throws: Error(kInvalidArgument) for --recipe without a file; Error(kNotFound); Error(kBadFormat)
/// naming the key of a value that is no text, number or truth value.
Arguments with_recipe(const Arguments& arguments);

}  // namespace llava::app
