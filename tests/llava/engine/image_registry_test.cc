// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/image_registry.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>
#include <vector>

#include "llava/core/random.h"

namespace llava::engine {
namespace {

// Puts all keys into two buckets.
struct OneBitHash {
  std::size_t operator()(const ImageKey& key) const noexcept { return key.digest[31] & 1; }
};

ImageKey random_key(Generator& generator) {
  ImageKey key;
  for (unsigned char& byte : key.digest) byte = static_cast<unsigned char>(generator.below(256));
  return key;
}

TEST(ImageRegistry, GivesEachKeyItsOwnNumber) {
  ImageRegistry registry;
  Generator generator(1);
  const ImageKey a = random_key(generator);
  const ImageKey b = random_key(generator);
  const uint64_t number = registry.intern(a);
  EXPECT_GT(number, 0u);
  EXPECT_NE(registry.intern(b), number);
  EXPECT_EQ(registry.intern(a), number);
}

// Keys that differ in a single bit, under a hash that sees almost nothing of them.
TEST(ImageRegistry, CollidingHashesNeverGiveAWrongNumber) {
  BasicImageRegistry<OneBitHash> registry;
  Generator generator(2);
  const ImageKey base = random_key(generator);
  std::set<uint64_t> numbers;
  for (std::size_t bit = 0; bit < 256; ++bit) {
    ImageKey key = base;
    key.digest[bit / 8] ^= static_cast<unsigned char>(1u << (bit % 8));
    numbers.insert(registry.intern(key));
  }
  EXPECT_EQ(numbers.size(), 256u);
  EXPECT_FALSE(numbers.contains(registry.intern(base)));
}

// 10^5 pictures under a hash of ten bits.
TEST(ImageRegistry, NeverAWrongHitAmongManyPictures) {
  constexpr uint64_t kSeed = 3;
  SCOPED_TRACE(kSeed);
  constexpr int kKeys = 100000;
  // One bucket for all would take minutes: a hundred keys share each of these.
  struct LowBitsHash {
    std::size_t operator()(const ImageKey& key) const noexcept {
      return key.digest[0] + 256u * (key.digest[1] % 4);
    }
  };
  BasicImageRegistry<LowBitsHash> registry(2 * kKeys);
  Generator generator(kSeed);
  std::map<ImageKey, uint64_t> expected;
  for (int i = 0; i < kKeys; ++i) {
    ImageKey key = random_key(generator);
    const uint64_t number = registry.intern(key);
    const auto [it, is_new] = expected.emplace(key, number);
    ASSERT_TRUE(is_new);
    ASSERT_EQ(number, static_cast<uint64_t>(i) + 1);
    if (i % 500 != 0) continue;
    const auto known = std::next(expected.begin(), static_cast<int64_t>(i / 500));
    ASSERT_EQ(registry.intern(known->first), known->second);
  }
}

TEST(ImageRegistry, AForgottenKeyGetsANumberThatNobodyHad) {
  ImageRegistry registry(2);
  Generator generator(4);
  const ImageKey a = random_key(generator);
  const ImageKey b = random_key(generator);
  const ImageKey c = random_key(generator);
  const uint64_t first = registry.intern(a);
  const uint64_t second = registry.intern(b);
  EXPECT_EQ(registry.intern(a), first);
  const uint64_t third = registry.intern(c);  // forgets b
  EXPECT_EQ(registry.intern(a), first);
  const uint64_t again = registry.intern(b);
  EXPECT_EQ((std::set<uint64_t>{first, second, third, again}.size()), 4u);
}

TEST(ImageRegistry, RemembersFiles) {
  ImageRegistry registry(2);
  Generator generator(5);
  const ImageKey file = random_key(generator);
  EXPECT_FALSE(registry.find_file(file).has_value());
  const KnownImage image{.key = random_key(generator), .size = {30, 20}};
  registry.remember_file(file, image);
  const auto found = registry.find_file(file);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->key, image.key);
  EXPECT_EQ(found->size, image.size);
  registry.remember_file(random_key(generator), image);
  registry.remember_file(random_key(generator), image);
  EXPECT_FALSE(registry.find_file(file).has_value());
}

TEST(ImageRegistry, ThreadsAgreeOnTheNumbers) {
  ImageRegistry registry;
  constexpr int kKeys = 500;
  std::vector<std::vector<uint64_t>> numbers(4);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : numbers) {
      threads.emplace_back([&registry, &mine] {
        Generator generator(6);
        for (int i = 0; i < kKeys; ++i) mine.push_back(registry.intern(random_key(generator)));
      });
    }
  }
  for (const auto& mine : numbers) EXPECT_EQ(mine, numbers.front());
  EXPECT_EQ(std::set<uint64_t>(numbers[0].begin(), numbers[0].end()).size(), size_t{kKeys});
}

}  // namespace
}  // namespace llava::engine
