// SPDX-License-Identifier: Apache-2.0
//
// Lists of float32 numbers in answers, as `encoding_format` asks for them.
#pragma once

#include <span>

#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {

/// Whether `encoding_format` is base64; float is the default.
///
/// Throws: ApiError 400 for another format.
bool read_is_base64(FieldReader& reader);

/// The numbers as a list, each with the fewest digits that mean the same float32; or as base64 of
/// their little-endian bytes. They are finite.
OrderedJson float_list_json(std::span<const float> values, bool is_base64);

}  // namespace llava::serve
