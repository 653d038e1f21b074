// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/cache_keys.h"

#include <algorithm>
#include <span>
#include <vector>

#include "llava/core/check.h"

namespace llava::engine {
namespace {

// Numbers least significant byte first, on every machine.
void add_number(std::string& key, uint64_t value, int num_bytes) {
  for (int i = 0; i < num_bytes; ++i) key.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

// Texts with their length, so that no byte can move from one field to the next.
void add_text(std::string& key, std::string_view text) {
  add_number(key, text.size(), 8);
  key += text;
}

void add_digest(std::string& key, const Sha256& digest) {
  key.append(reinterpret_cast<const char*>(digest.data()), digest.size());
}

}  // namespace

std::string features_key(std::string_view identity, const ImageKey& image) {
  std::string key = "llava.features.1\n";
  add_text(key, identity);
  add_digest(key, image.digest);
  return key;
}

std::string prefix_key(std::string_view identity, const GenerationRequest& request,
                       int32_t num_tokens, int32_t page_size) {
  const auto& prompt = request.prompt;
  LLAVA_CHECK(num_tokens >= 0 && static_cast<std::size_t>(num_tokens) <= prompt.ids.size());
  std::string key(kPrefixKeyPrefix);
  add_text(key, identity);
  add_text(key, request.cache_salt);
  add_number(key, static_cast<uint64_t>(page_size), 4);
  add_number(key, static_cast<uint64_t>(num_tokens), 4);
  // The pictures: where each stands, which it is, and how many of its rows are part of the prefix.
  std::vector<text::ImageSpan> shown;
  for (const text::ImageSpan& span : prompt.images) {
    if (span.offset < num_tokens) shown.push_back(span);
  }
  add_number(key, shown.size(), 4);
  for (const text::ImageSpan& span : shown) {
    add_number(key, static_cast<uint64_t>(span.offset), 4);
    add_number(key, static_cast<uint64_t>(std::min(span.num_tokens, num_tokens - span.offset)), 4);
    add_digest(key, request.images.at(static_cast<std::size_t>(span.image)).key.digest);
  }
  // Every position's id; a picture's are placeholders, the same for all.
  for (int32_t i = 0; i < num_tokens; ++i) {
    add_number(key, static_cast<uint32_t>(prompt.ids[static_cast<std::size_t>(i)]), 4);
  }
  return key;
}

std::string pin_key(std::string_view name) { return std::string(kPinKeyPrefix).append(name); }

}  // namespace llava::engine
