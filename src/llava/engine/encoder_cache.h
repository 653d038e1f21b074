// SPDX-License-Identifier: Apache-2.0
//
// EncoderCache: which pictures' features the runner keeps, what has to be encoded, and what to
// drop. Plain integers; the tensors are the runner's.
#pragma once

#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

namespace llava::engine {

/// What a request for a picture's features found.
enum class EncoderRoom : uint8_t {
  kReady,   ///< a reference was taken; the features are there
  kEncode,  ///< a reference was taken; somebody must encode, then call set_ready
  kFull,    ///< no reference was taken: features in use fill the budget, try again later
};

/// Features of pictures by interned number, with reference counts, within a budget of bytes.
/// Unreferenced ones stay until their room is needed and go least recently used first. A picture
/// larger than the budget is admitted when no other is in use, so that it is served and not stuck.
///
/// Threads: one thread at a time.
class EncoderCache {
 public:
  explicit EncoderCache(int64_t budget_bytes);

  /// Takes a reference to a picture's features, making room if need be. `dropped` receives the
  /// pictures whose features the runner must drop before it encodes this one.
  EncoderRoom acquire(uint64_t image, int64_t num_bytes, std::vector<uint64_t>& dropped);
  /// The features exist now.
  void set_ready(uint64_t image);
  /// Whether the features exist.
  bool is_ready(uint64_t image) const;
  /// Gives a reference back. Features that were never made are forgotten with the last one.
  void release(uint64_t image);
  /// Drops everything that nobody references.
  void clear(std::vector<uint64_t>& dropped);

  int64_t budget_bytes() const noexcept { return budget_bytes_; }
  int64_t used_bytes() const noexcept { return used_bytes_; }
  int64_t referenced_bytes() const noexcept { return referenced_bytes_; }
  int64_t hits() const noexcept { return hits_; }
  int64_t misses() const noexcept { return misses_; }

 private:
  struct Entry {
    int64_t num_bytes = 0;
    int32_t references = 0;
    bool is_ready = false;
    std::list<uint64_t>::iterator idle;  // when nobody references it
  };

  Entry& entry(uint64_t image);
  void drop_oldest(std::vector<uint64_t>& dropped);

  int64_t budget_bytes_;
  int64_t used_bytes_ = 0;
  int64_t referenced_bytes_ = 0;
  int64_t hits_ = 0;
  int64_t misses_ = 0;
  std::unordered_map<uint64_t, Entry> entries_;
  std::list<uint64_t> idle_;  // least recently used first
};

}  // namespace llava::engine
