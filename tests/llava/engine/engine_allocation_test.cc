// SPDX-License-Identifier: Apache-2.0
//
// Memory that runs out anywhere in a request (serving 7.9, E23): the request fails, the engine goes
// on. This file replaces the program's allocation functions; they fail once, when told to.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "fake_engine.h"

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

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LLAVA_HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LLAVA_HAS_SANITIZER 1
#endif
#endif

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

TEST(EngineAllocation, EveryFailingAllocationCostsOneRequestAtMost) {
#ifdef LLAVA_HAS_SANITIZER
  GTEST_SKIP() << "a sanitizer's allocation functions cannot be replaced";
#endif
  FakeEngine fake(2048, 8);
  fake.config.max_draft_tokens = 3;
  fake.draft = {.scheduler = fake.config.scheduler,
                .num_pages = 256,
                .num_ids = kFakeVocabulary,
                .context_length = 4096,
                .cost_per_token = 0};
  fake.start();
  ImageRegistry registry;
  registry.intern(fake_key(1));
  GenerationRequest request = fake_request(std::vector<int32_t>(40, 7), {{1, 5}}, 16, 12);
  request.params.end_ids = {};
  request.num_choices = 2;
  const FakeAnswer expected = answer_alone(request, registry);
  ASSERT_EQ(read_all(*fake.engine->submit(request), 2).front().ids, expected.ids);
  constexpr int64_t kMostAllocations = 100000;
  int64_t num_failed = 0;
  int64_t k = 0;
  for (; k < kMostAllocations; ++k) {
    GenerationRequest copy = request;
    // A prefix of its own, so that it is computed and not found.
    copy.cache_salt = std::to_string(k);
    g_countdown = k;
    try {
      const auto stream = fake.engine->submit(std::move(copy));
      while (stream->next()) {
      }
    } catch (const std::bad_alloc&) {
      ++num_failed;
    } catch (const Error& error) {
      ++num_failed;
      EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted) << error.what();
    }
    const bool was_reached = g_countdown.exchange(-1) < 0;
    ASSERT_EQ(read_all(*fake.engine->submit(request), 2).front().ids, expected.ids)
        << "after " << k;
    fake.engine->wait_until_idle();
    ASSERT_EQ(fake.engine->stats().pages_used, 0) << "after " << k;
    if (!was_reached) break;
  }
  EXPECT_LT(k, kMostAllocations);
  EXPECT_GT(num_failed, 50);
}

}  // namespace
}  // namespace llava::engine
