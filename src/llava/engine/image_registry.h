// SPDX-License-Identifier: Apache-2.0
//
// ImageRegistry: short numbers for the 256-bit keys of pictures, so that a prompt's symbols stay
// small, and a memory of files seen before.
#pragma once

#include <cstdint>
#include <optional>

#include "llava/core/guarded.h"
#include "llava/engine/image_key.h"
#include "llava/engine/lru_map.h"

namespace llava::engine {

/// What is known of a picture file that was decoded before: enough to plan its layout.
struct KnownImage {
  ImageKey key;
  image::ImageSize size;
};

/// Interns keys. A number is never given to a second key: a key that was forgotten, because more
/// than `capacity` others came since, gets a new number, which is a miss in the caches and no more.
/// `Hash` is a parameter so that tests can force collisions.
///
/// Threads: safe; several preprocessing threads share one.
template <class Hash>
class BasicImageRegistry {
 public:
  static constexpr std::size_t kCapacity = 1024;

  explicit BasicImageRegistry(std::size_t capacity = kCapacity)
      : numbers_(Numbers{Map<uint64_t>(capacity)}), files_(Map<KnownImage>(capacity)) {}

  /// The number of a key, above 0.
  uint64_t intern(const ImageKey& key) {
    return numbers_.with([&](Numbers& numbers) {
      if (const uint64_t* known = numbers.by_key.find(key)) return *known;
      numbers.by_key.put(key, ++numbers.last);
      return numbers.last;
    });
  }

  /// The picture of a file seen before, by its file_key.
  std::optional<KnownImage> find_file(const ImageKey& file) {
    return files_.with([&](Map<KnownImage>& files) -> std::optional<KnownImage> {
      const KnownImage* known = files.find(file);
      if (known == nullptr) return std::nullopt;
      return *known;
    });
  }
  void remember_file(const ImageKey& file, const KnownImage& image) {
    files_.with([&](Map<KnownImage>& files) { files.put(file, image); });
  }

 private:
  template <class Value>
  using Map = LruMap<ImageKey, Value, Hash>;
  struct Numbers {
    Map<uint64_t> by_key;
    uint64_t last = 0;
  };

  Guarded<Numbers> numbers_;
  Guarded<Map<KnownImage>> files_;
};

using ImageRegistry = BasicImageRegistry<ImageKeyHash>;

}  // namespace llava::engine
