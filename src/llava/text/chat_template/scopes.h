// SPDX-License-Identifier: Apache-2.0
//
// A quirk of the published renderer: it decides per block, before running, where each name lives. A
// name that a block sets without having read it before is the block's own from its beginning on, so
// loops in front of the assignment see it undefined, whatever a variable outside is.
#pragma once

#include "llava/text/chat_template/syntax.h"

namespace llava::text::jinja {

/// Fills the `hidden` lists of a program: the names that each block begins by making undefined.
///
/// Throws: Error(kBadFormat) for a template with absurdly many names and blocks.
void find_hidden_names(Program& program);

}  // namespace llava::text::jinja
