// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/image_key.h"

#include <array>
#include <cstring>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

// Fields of the encoding, each as its tag, its length in bytes and the bytes.
enum class Tag : uint8_t { kDomain, kWidth, kHeight, kPixels, kRecipe, kFile, kDecodeOptions };

class TaggedHash {
 public:
  explicit TaggedHash(std::string_view domain) { add(Tag::kDomain, domain); }

  void add(Tag tag, std::span<const std::byte> bytes) {
    std::array<std::byte, 9> head{static_cast<std::byte>(tag)};
    put_integer(bytes.size(), std::span(head).subspan<1>());
    hash_.update(head);
    hash_.update(bytes);
  }
  void add(Tag tag, std::string_view text) { add(tag, std::as_bytes(std::span(text))); }
  void add(Tag tag, int32_t value) {
    std::array<std::byte, 8> bytes;
    put_integer(static_cast<uint64_t>(value), bytes);
    add(tag, bytes);
  }

  ImageKey finish() { return {hash_.finish()}; }

 private:
  // Least significant byte first, on every machine.
  static void put_integer(uint64_t value, std::span<std::byte, 8> out) {
    for (std::byte& byte : out) {
      byte = static_cast<std::byte>(value & 0xff);
      value >>= 8;
    }
  }

  Sha256Stream hash_;
};

}  // namespace

std::size_t ImageKeyHash::operator()(const ImageKey& key) const noexcept {
  uint64_t word = 0;
  std::memcpy(&word, key.digest.data(), sizeof(word));
  return static_cast<std::size_t>(word);
}

ImageKey image_key(const ImageContent& content) {
  const auto [width, height] = content.size;
  if (width < 1 || height < 1 ||
      content.pixels.size() !=
          static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3) {
    fail(ErrorCode::kInvalidArgument,
         "a picture of {}x{} has {} bytes of pixels, expected 3 for each pixel", width, height,
         content.pixels.size());
  }
  TaggedHash hash("llava.image.1");
  hash.add(Tag::kWidth, width);
  hash.add(Tag::kHeight, height);
  hash.add(Tag::kPixels, std::as_bytes(content.pixels));
  hash.add(Tag::kRecipe, content.recipe);
  return hash.finish();
}

ImageKey file_key(std::span<const std::byte> bytes, std::string_view decode_options,
                  std::string_view recipe) {
  TaggedHash hash("llava.image-file.1");
  hash.add(Tag::kFile, bytes);
  hash.add(Tag::kDecodeOptions, decode_options);
  hash.add(Tag::kRecipe, recipe);
  return hash.finish();
}

}  // namespace llava::engine
