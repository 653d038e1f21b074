// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

TEST(RequireMemory, AcceptsWhatFitsAndShowsTheSumOtherwise) {
  const auto available = available_memory_bytes();
  if (!available) GTEST_SKIP() << "this system does not say how much memory is available";
  EXPECT_GT(*available, 0);
  EXPECT_NO_THROW(require_memory(1, "a byte"));
  try {
    require_memory(INT64_MAX, "a model of all atoms");
    FAIL() << "2^63 bytes were promised";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    const std::string message = error.what();
    EXPECT_NE(message.find("a model of all atoms needs 8796093022208 MiB"), std::string::npos)
        << message;
  }
}

}  // namespace
}  // namespace llava::engine
