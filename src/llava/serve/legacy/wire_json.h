// SPDX-License-Identifier: Apache-2.0
//
// JSON as the original's controller and workers write it: one dialect for plain answers, another
// for the records of a stream. Readers take both (core/json.h).
#pragma once

#include <string>

#include "llava/core/json.h"

namespace llava::serve {

/// A plain answer: UTF-8 without spaces between the parts, keys in their order. Invalid UTF-8 is
/// replaced by U+FFFD.
std::string compact_json(const OrderedJson& value);

/// A record of a stream, without its NUL: what Python's json.dumps() writes. ", " and ": " between
/// the parts, everything but printable ASCII as \uXXXX (surrogate pairs beyond the basic plane),
/// numbers as repr(), keys in their order. Invalid UTF-8 is replaced by U+FFFD first. Numbers that
/// are not finite become null, where Python writes what is no JSON.
std::string record_json(const OrderedJson& value);

/// record_json and the NUL that ends a record.
std::string stream_record(const OrderedJson& value);

/// A number that peers may write with or without a fraction, such as `speed`: an integer where the
/// value is one (1, not 1.0), as the original answers.
OrderedJson number_json(double value);

}  // namespace llava::serve
