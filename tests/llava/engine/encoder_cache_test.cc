// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/encoder_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/random.h"

namespace llava::engine {
namespace {

using Numbers = std::vector<uint64_t>;

TEST(EncoderCache, EncodesOnceAndKeepsWhatFits) {
  EncoderCache cache(100);
  Numbers dropped;
  EXPECT_EQ(cache.acquire(1, 40, dropped), EncoderRoom::kEncode);
  EXPECT_FALSE(cache.is_ready(1));
  EXPECT_EQ(cache.acquire(1, 40, dropped), EncoderRoom::kEncode);
  cache.set_ready(1);
  EXPECT_EQ(cache.acquire(1, 40, dropped), EncoderRoom::kReady);
  for (int i = 0; i < 3; ++i) cache.release(1);
  EXPECT_EQ(cache.acquire(1, 40, dropped), EncoderRoom::kReady);
  EXPECT_TRUE(dropped.empty());
  EXPECT_EQ(cache.used_bytes(), 40);
  EXPECT_EQ(cache.hits(), 2);
  EXPECT_EQ(cache.misses(), 1);
}

TEST(EncoderCache, DropsTheLeastRecentlyUsedOfTheUnreferenced) {
  EncoderCache cache(100);
  Numbers dropped;
  for (const uint64_t image : {1, 2, 3}) {
    cache.acquire(image, 30, dropped);
    cache.set_ready(image);
  }
  cache.release(2);
  cache.release(1);
  EXPECT_EQ(cache.acquire(4, 40, dropped), EncoderRoom::kEncode);
  EXPECT_EQ(dropped, (Numbers{2}));
  EXPECT_EQ(cache.acquire(5, 70, dropped), EncoderRoom::kFull);
  EXPECT_EQ(dropped, (Numbers{2})) << "nothing is dropped for a picture that finds no room";
  EXPECT_TRUE(cache.is_ready(1));
}

TEST(EncoderCache, ForgetsFeaturesThatWereNeverMade) {
  EncoderCache cache(100);
  Numbers dropped;
  cache.acquire(7, 60, dropped);
  cache.release(7);
  EXPECT_EQ(cache.used_bytes(), 0);
  EXPECT_EQ(cache.acquire(7, 60, dropped), EncoderRoom::kEncode);
  EXPECT_TRUE(dropped.empty());
}

TEST(EncoderCache, APictureLargerThanTheBudgetIsServedAlone) {
  EncoderCache cache(100);
  Numbers dropped;
  cache.acquire(1, 10, dropped);
  EXPECT_EQ(cache.acquire(2, 500, dropped), EncoderRoom::kFull);
  cache.set_ready(1);
  cache.release(1);
  EXPECT_EQ(cache.acquire(2, 500, dropped), EncoderRoom::kEncode);
  EXPECT_EQ(dropped, (Numbers{1}));
  EXPECT_EQ(cache.acquire(3, 10, dropped), EncoderRoom::kFull);
  cache.set_ready(2);
  cache.release(2);
  EXPECT_EQ(cache.acquire(3, 10, dropped), EncoderRoom::kEncode);
  EXPECT_EQ(dropped, (Numbers{1, 2}));
}

TEST(EncoderCache, RefusesWhatItDoesNotKnow) {
  EncoderCache cache(100);
  EXPECT_THROW(cache.release(1), Error);
  EXPECT_THROW(cache.set_ready(1), Error);
  Numbers dropped;
  cache.acquire(1, 1, dropped);
  cache.set_ready(1);
  cache.release(1);
  EXPECT_THROW(cache.release(1), Error);
}

// Against a list in order of use.
TEST(EncoderCache, AgreesWithANaiveModel) {
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE(kSeed);
  struct Entry {
    int64_t bytes = 0;
    int references = 0;
    bool is_ready = false;
    int64_t released = 0;
  };
  constexpr int64_t kBudget = 1000;
  EncoderCache cache(kBudget);
  std::map<uint64_t, Entry> model;
  Generator generator(kSeed);
  const auto sum = [&](bool only_referenced) {
    int64_t bytes = 0;
    for (const auto& [image, entry] : model) {
      if (!only_referenced || entry.references > 0) bytes += entry.bytes;
    }
    return bytes;
  };
  for (int64_t step = 0; step < 100000; ++step) {
    const uint64_t image = 1 + generator.below(20);
    const int64_t bytes = static_cast<int64_t>(37 * image);
    auto it = model.find(image);
    if (generator.below(2) == 0) {
      Numbers dropped;
      const EncoderRoom room = cache.acquire(image, bytes, dropped);
      Numbers expected_drops;
      EncoderRoom expected = EncoderRoom::kFull;
      if (it != model.end()) {
        ++it->second.references;
        expected = it->second.is_ready ? EncoderRoom::kReady : EncoderRoom::kEncode;
      } else if (sum(true) + bytes <= kBudget || sum(true) == 0) {
        while (sum(false) + bytes > kBudget) {
          auto oldest = model.end();
          for (auto entry = model.begin(); entry != model.end(); ++entry) {
            if (entry->second.references > 0) continue;
            if (oldest == model.end() || entry->second.released < oldest->second.released) {
              oldest = entry;
            }
          }
          if (oldest == model.end()) break;
          expected_drops.push_back(oldest->first);
          model.erase(oldest);
        }
        model[image] = {.bytes = bytes, .references = 1, .is_ready = false, .released = 0};
        expected = EncoderRoom::kEncode;
      }
      ASSERT_EQ(room, expected) << "step " << step;
      ASSERT_EQ(dropped, expected_drops) << "step " << step;
    } else if (it != model.end() && it->second.references > 0) {
      if (generator.below(2) == 0) {
        cache.set_ready(image);
        it->second.is_ready = true;
      } else {
        cache.release(image);
        it->second.released = step;
        if (--it->second.references == 0 && !it->second.is_ready) model.erase(it);
      }
    }
    ASSERT_EQ(cache.used_bytes(), sum(false));
    ASSERT_EQ(cache.referenced_bytes(), sum(true));
  }
}

}  // namespace
}  // namespace llava::engine
