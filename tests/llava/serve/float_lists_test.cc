// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/protocol/float_lists.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "llava/core/base64.h"
#include "llava/core/random.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

TEST(FloatLists, HaveTheFewestDigits) {
  EXPECT_EQ(float_list_json(std::vector<float>{0.1f, 1.0f, 1e-7f, -2.5f, 0.0f}, false).dump(),
            "[0.1,1.0,1e-07,-2.5,0.0]");
}

// Whichever form, the number is the same to the last bit.
TEST(FloatLists, AreTheNumbers) {
  const uint64_t seed = 5;
  SCOPED_TRACE(seed);
  Generator random(seed);
  std::vector<float> values;
  while (values.size() < 1000) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isfinite(value)) values.push_back(value);
  }
  const OrderedJson list = OrderedJson::parse(float_list_json(values, false).dump());
  const auto bytes = decode_base64(float_list_json(values, true).get<std::string>());
  ASSERT_TRUE(bytes && bytes->size() == values.size() * sizeof(float));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = std::bit_cast<uint32_t>(values[i]);
    EXPECT_EQ(std::bit_cast<uint32_t>(static_cast<float>(list[i].get<double>())), bits);
    uint32_t read = 0;
    std::memcpy(&read, bytes->data() + i * sizeof(float), sizeof(read));
    EXPECT_EQ(read, bits);
  }
}

TEST(FloatLists, FormatsAreChecked) {
  const auto format = [](const OrderedJson& body) {
    FieldReader reader(body, "");
    return read_is_base64(reader);
  };
  EXPECT_FALSE(format(OrderedJson::object()));
  EXPECT_FALSE(format({{"encoding_format", "float"}}));
  EXPECT_TRUE(format({{"encoding_format", "base64"}}));
  EXPECT_THROW(format({{"encoding_format", "hex"}}), ApiError);
}

}  // namespace
}  // namespace llava::serve
