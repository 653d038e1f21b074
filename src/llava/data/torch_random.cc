// SPDX-License-Identifier: Apache-2.0
#include "llava/data/torch_random.h"

#include <numeric>
#include <string_view>
#include <utility>

#include "llava/core/error.h"

namespace llava::data {
namespace {

// The constants of MT19937.
constexpr std::size_t kMiddle = 397;
constexpr uint32_t kTwist = 0x9908B0DF;
constexpr uint32_t kUpperBit = 0x80000000;

// torch.randperm draws 32 bits an element below this count.
constexpr int64_t kLargestPermutation = 214'748'363;

uint32_t twist(uint32_t upper, uint32_t lower) {
  const uint32_t mixed = (upper & kUpperBit) | (lower & ~kUpperBit);
  return (mixed >> 1) ^ ((lower & 1) != 0 ? kTwist : 0);
}

void append_word(std::string& bytes, uint32_t word) {
  for (int shift = 0; shift < 32; shift += 8) {
    bytes.push_back(static_cast<char>((word >> shift) & 0xFF));
  }
}

uint32_t word_at(std::string_view bytes, std::size_t index) {
  uint32_t word = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    word |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[index * 4 + i])) << (8 * i);
  }
  return word;
}

}  // namespace

TorchRandom::TorchRandom(uint64_t seed) {
  words_[0] = static_cast<uint32_t>(seed);
  for (std::size_t i = 1; i < kNumWords; ++i) {
    const uint32_t previous = words_[i - 1];
    words_[i] = 1812433253U * (previous ^ (previous >> 30)) + static_cast<uint32_t>(i);
  }
}

void TorchRandom::refill() {
  for (std::size_t i = 0; i < kNumWords; ++i) {
    words_[i] = words_[(i + kMiddle) % kNumWords] ^ twist(words_[i], words_[(i + 1) % kNumWords]);
  }
  next_ = 0;
}

uint32_t TorchRandom::random() {
  if (next_ == kNumWords) refill();
  uint32_t word = words_[next_++];
  word ^= word >> 11;
  word ^= (word << 7) & 0x9D2C5680;
  word ^= (word << 15) & 0xEFC60000;
  return word ^ (word >> 18);
}

uint64_t TorchRandom::random64() {
  const uint64_t upper = random();
  return (upper << 32) | random();
}

int64_t TorchRandom::draw_seed() {
  return static_cast<int64_t>(random64() & static_cast<uint64_t>(INT64_MAX));
}

std::vector<int64_t> TorchRandom::randperm(int64_t n) {
  if (n < 0) fail(ErrorCode::kInvalidArgument, "a permutation of {} elements cannot be", n);
  if (n > kLargestPermutation) {
    fail(ErrorCode::kUnsupported,
         "a shuffle of {} samples, expected at most {}: split the data into several files", n,
         kLargestPermutation);
  }
  std::vector<int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = 0; i + 1 < n; ++i) {
    const auto left = static_cast<uint32_t>(n - i);
    std::swap(order[static_cast<std::size_t>(i)],
              order[static_cast<std::size_t>(i) + random() % left]);
  }
  return order;
}

std::string TorchRandom::save() const {
  std::string bytes;
  bytes.reserve((kNumWords + 1) * 4);
  for (const uint32_t word : words_) append_word(bytes, word);
  append_word(bytes, next_);
  return bytes;
}

void TorchRandom::restore(std::string_view saved) {
  if (saved.size() != (kNumWords + 1) * 4 || word_at(saved, kNumWords) > kNumWords) {
    fail(ErrorCode::kBadFormat,
         "the saved state of the random generator has {} bytes or a wrong position, expected {} "
         "bytes as save() makes them",
         saved.size(), (kNumWords + 1) * 4);
  }
  for (std::size_t i = 0; i < kNumWords; ++i) words_[i] = word_at(saved, i);
  next_ = word_at(saved, kNumWords);
}

}  // namespace llava::data
