// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

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

TEST(RequireMemory, ShowsEveryPartOfASum) {
  if (!available_memory_bytes()) GTEST_SKIP() << "this system does not say what is available";
  constexpr int64_t kMiB = int64_t{1} << 20;
  const std::vector<MemoryPart> small{{"a cache", 1}, {"a step", 2}};
  EXPECT_NO_THROW(require_memory(small, "the engine"));
  const std::vector<MemoryPart> parts{{"the KV cache of 7 tokens", int64_t{1} << 60},
                                      {"a step of 5 tokens", 3 * kMiB}};
  try {
    require_memory(parts, "the engine");
    FAIL() << "2^60 bytes were promised";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    const std::string message = error.what();
    EXPECT_NE(message.find("the engine needs 1099511627779 MiB (1099511627776 for the KV cache of "
                           "7 tokens + 3 for a step of 5 tokens), but "),
              std::string::npos)
        << message;
  }
}

}  // namespace
}  // namespace llava::engine
