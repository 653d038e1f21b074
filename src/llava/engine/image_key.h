// SPDX-License-Identifier: Apache-2.0
//
// Keys of pictures by content: what a picture's features in one model depend on, and nothing that a
// client or the file's metadata claims. Where models could meet, on disk, the identity of vision
// tower and projector goes before the key (cache_keys.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "llava/core/hash.h"
#include "llava/image/image_size.h"

namespace llava::engine {

/// 256 bits that name a picture's features: equal keys, equal features of the same model.
struct ImageKey {
  Sha256 digest{};

  friend auto operator<=>(const ImageKey&, const ImageKey&) = default;
};

/// Hash of a key for tables; the key is itself a hash, so any 64 bits of it serve.
struct ImageKeyHash {
  std::size_t operator()(const ImageKey& key) const noexcept;
};

/// Everything a picture's features in a model depend on.
struct ImageContent {
  image::ImageSize size;
  std::span<const uint8_t> pixels;  ///< decoded RGB, [height * width * 3]
  std::string_view recipe;          ///< preprocessing_recipe(...)
};

/// Key of a decoded picture: SHA-256 over a tagged, length-prefixed encoding of its content, so
/// that 30x150 and 150x30 with equal bytes differ.
///
/// Throws: Error(kInvalidArgument) when the pixels are not those of the size.   Threads: safe.
ImageKey image_key(const ImageContent& content);

/// Key of a picture file that need not be decoded to be recognised: its bytes, and everything else
/// that decides the features (decode options, recipe).
///
/// Threads: safe.
ImageKey file_key(std::span<const std::byte> bytes, std::string_view decode_options,
                  std::string_view recipe);

}  // namespace llava::engine
