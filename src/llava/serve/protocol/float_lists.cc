// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/protocol/float_lists.h"

#include <array>
#include <bit>
#include <charconv>
#include <string>

#include "llava/core/base64.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

static_assert(std::endian::native == std::endian::little, "base64 holds little-endian floats");

/// The number in double precision whose shortest decimal form is that of the float.
double with_fewest_digits(float value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value);
  double number = 0;
  std::from_chars(text.data(), end.ptr, number);
  return number;
}

}  // namespace

bool read_is_base64(FieldReader& reader) {
  const std::string format = reader.get_string("encoding_format").value_or("float");
  if (format != "float" && format != "base64") {
    fail_field(reader.path_of("encoding_format"), "expected float or base64, found '{}'", format);
  }
  return format == "base64";
}

OrderedJson float_list_json(std::span<const float> values, bool is_base64) {
  if (is_base64) {
    const auto bytes = std::as_bytes(values);
    return encode_base64({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  OrderedJson list = OrderedJson::array();
  for (const float value : values) list.push_back(with_fewest_digits(value));
  return list;
}

}  // namespace llava::serve
