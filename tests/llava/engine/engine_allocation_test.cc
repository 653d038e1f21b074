// SPDX-License-Identifier: Apache-2.0
//
// Memory that runs out anywhere in a request (serving 7.9, E23): the request fails, the engine goes
// on. This file replaces the program's allocation functions; they fail once, when told to.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <string>

#include "fake_engine.h"
#include "support/sanitizer.h"

namespace {

// Allocations until one fails; negative: none will.
std::atomic<int64_t> g_countdown{-1};

[[maybe_unused]] void* allocate(std::size_t size) {
  if (g_countdown.load(std::memory_order_relaxed) >= 0 &&
      g_countdown.fetch_sub(1, std::memory_order_relaxed) == 0) {
    throw std::bad_alloc();
  }
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Sanitizers bring these functions themselves.
#ifndef LLAVA_HAS_SANITIZER
void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace llava::engine {
namespace {

constexpr int64_t kMostAllocations = 100000;

// Asks while the k-th allocation fails. Whether there were so many, and whether the request failed.
struct Trial {
  bool was_reached = false;
  bool has_failed = false;
};

Trial ask_while_failing(Engine& engine, GenerationRequest request, int64_t k) {
  Trial trial;
  g_countdown = k;
  try {
    const auto stream = engine.submit(std::move(request));
    while (stream->next()) {
    }
  } catch (const std::bad_alloc&) {
    trial.has_failed = true;
  } catch (const Error& error) {
    trial.has_failed = true;
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted) << error.what();
  }
  // What is written behind the answer counts as well.
  try {
    engine.flush_cache();
  } catch (const std::bad_alloc&) {
  }
  trial.was_reached = g_countdown.exchange(-1) < 0;
  return trial;
}

class EngineAllocationTest : public testing::Test {
 protected:
  EngineAllocationTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "llava-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    request_.params.end_ids = {};
    request_.num_choices = 2;
    expected_ = answer_alone(request_).ids;
  }
  ~EngineAllocationTest() override { std::filesystem::remove_all(folder_); }

  void SetUp() override {
#ifdef LLAVA_HAS_SANITIZER
    GTEST_SKIP() << "a sanitizer's allocation functions cannot be replaced";
#endif
  }

  std::vector<int32_t> ask(Engine& engine, const GenerationRequest& request) {
    return read_all(*engine.submit(request), 2).front().ids;
  }

  std::filesystem::path folder_;
  GenerationRequest request_ = fake_request(std::vector<int32_t>(40, 7), {{1, 5}}, 16, 12);
  std::vector<int32_t> expected_;
};

TEST_F(EngineAllocationTest, EveryFailureCostsOneRequestAtMost) {
  FakeEngine fake(2048, 8);
  fake.config.max_draft_tokens = 3;
  fake.draft = {.scheduler = fake.config.scheduler,
                .num_pages = 256,
                .num_ids = kFakeVocabulary,
                .context_length = 4096,
                .cost_per_token = 0};
  fake.start();
  ASSERT_EQ(ask(*fake.engine, request_), expected_);
  int64_t num_failed = 0;
  int64_t k = 0;
  for (; k < kMostAllocations; ++k) {
    GenerationRequest copy = request_;
    // A prefix of its own, so that it is computed and not found.
    copy.cache_salt = std::to_string(k);
    const Trial trial = ask_while_failing(*fake.engine, std::move(copy), k);
    if (trial.has_failed) ++num_failed;
    ASSERT_EQ(ask(*fake.engine, request_), expected_) << "after " << k;
    fake.engine->wait_until_idle();
    ASSERT_EQ(fake.engine->stats().pages_used, 0) << "after " << k;
    if (!trial.was_reached) break;
  }
  EXPECT_LT(k, kMostAllocations);
  EXPECT_GT(num_failed, 50);
}

// A prompt is pinned and stored, or found on disk again, while memory runs out.
TEST_F(EngineAllocationTest, FailuresOfTheCacheCostNoMore) {
  for (const bool is_stored : {false, true}) {
    GenerationRequest pinned = request_;
    pinned.pin = "pin";
    int64_t k = 0;
    for (; k < kMostAllocations; ++k) {
      FakeEngine fake(2048, 8);
      fake.cache_folder = folder_;
      fake.start();
      if (is_stored) {
        ask(*fake.engine, pinned);
        fake.engine.reset();
        fake.start();
      }
      const Trial trial = ask_while_failing(*fake.engine, pinned, k);
      ASSERT_EQ(ask(*fake.engine, request_), expected_) << "after " << k;
      fake.engine->unpin("pin");
      fake.engine->wait_until_idle();
      ASSERT_EQ(fake.engine->stats().pages_used, 0) << "after " << k;
      if (!trial.was_reached) break;
    }
    EXPECT_LT(k, kMostAllocations);
    EXPECT_GT(k, 100);
  }
}

}  // namespace
}  // namespace llava::engine
