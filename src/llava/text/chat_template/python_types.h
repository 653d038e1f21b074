// SPDX-License-Identifier: Apache-2.0
//
// What attributes Python's own types have. A template that reads one that is not supported here
// must fail; one that Python does not have is undefined.
#pragma once

#include <string_view>

#include "llava/text/chat_template/value.h"

namespace llava::text::jinja {

enum class AttributeKind {
  kNone,         ///< Python has no such attribute
  kMethod,       ///< call_method() knows it
  kForbidden,    ///< changes the object: the published sandbox makes it undefined
  kUnsupported,  ///< Python has it, this program does not
};

AttributeKind attribute_kind(const Value& object, std::string_view name);

}  // namespace llava::text::jinja
