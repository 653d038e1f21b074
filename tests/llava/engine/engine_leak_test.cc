// SPDX-License-Identifier: Apache-2.0
//
// A hundred thousand requests, each about a picture of its own: memory and descriptors stay
// (serving 7.9, E17).
#include <gtest/gtest.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <fstream>

#include "fake_engine.h"
#include "support/sanitizer.h"

namespace llava::engine {
namespace {

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t num_mapped_pages = 0;
  int64_t num_resident_pages = 0;
  file >> num_mapped_pages >> num_resident_pages;
  return num_resident_pages * ::sysconf(_SC_PAGESIZE);
}

int64_t num_descriptors() {
  const std::filesystem::directory_iterator open("/proc/self/fd");
  return std::distance(begin(open), end(open));
}

TEST(EngineLeak, PicturesComeAndGo) {
  if (!std::filesystem::exists("/proc/self/statm")) GTEST_SKIP() << "no /proc on this system";
#ifdef LLAVA_HAS_SANITIZER
  GTEST_SKIP() << "a sanitizer keeps what was freed";
#endif
  constexpr int kRequests = 100000;
  constexpr int kWarmUp = 20000;
  constexpr std::size_t kTogether = 64;
  constexpr int32_t kPictureTokens = 20;
  FakeEngine fake(1024, 8);
  fake.encoder_cache_bytes = 10 * kPictureTokens;
  fake.start();
  std::deque<std::shared_ptr<AnswerStream>> streams;
  int64_t early_bytes = 0;
  int64_t early_descriptors = 0;
  for (int i = 0; i < kRequests; ++i) {
    if (i == kWarmUp) {
      early_bytes = resident_bytes();
      early_descriptors = num_descriptors();
    }
    streams.push_back(fake.engine->submit(
        fake_request(std::vector<int32_t>(kPictureTokens + 3, 7), {{i, 1}}, kPictureTokens, 2)));
    if (streams.size() < kTogether) continue;
    const auto answers = read_all(*streams.front());
    ASSERT_FALSE(answers.front().ids.empty());
    streams.pop_front();
  }
  for (const auto& stream : streams) read_all(*stream);
  const double grown = static_cast<double>(resident_bytes() - early_bytes);
  EXPECT_LT(grown / (kRequests - kWarmUp), 1024.0) << "bytes a request";
  EXPECT_EQ(num_descriptors(), early_descriptors);
  RecordProperty("grown_bytes", std::to_string(static_cast<int64_t>(grown)));
}

}  // namespace
}  // namespace llava::engine
