// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/kv_blocks.h"

#include "llava/core/check.h"

namespace llava::engine {

bool is_page_size(int32_t num_tokens) noexcept {
  return num_tokens == 1 || num_tokens == 8 || num_tokens == 16 || num_tokens == 64;
}

KvBlocks::KvBlocks(int32_t num_pages, int32_t page_size) : page_size_(page_size) {
  if (!is_page_size(page_size)) {
    fail(ErrorCode::kInvalidArgument, "pages of {} tokens, expected 1, 8, 16 or 64", page_size);
  }
  LLAVA_CHECK(num_pages >= 0, "{} pages", num_pages);
  references_.resize(static_cast<std::size_t>(num_pages), 0);
  free_.reserve(static_cast<std::size_t>(num_pages));
  // Taken from the back, so that pages are handed out in rising order.
  for (int32_t page = num_pages - 1; page >= 0; --page) free_.push_back(page);
}

int32_t KvBlocks::allocate() {
  if (free_.empty()) {
    fail(ErrorCode::kResourceExhausted, "all {} pages of the KV cache are in use", num_pages());
  }
  const int32_t page = free_.back();
  free_.pop_back();
  references_[static_cast<std::size_t>(page)] = 1;
  return page;
}

void KvBlocks::retain(int32_t page) {
  int32_t& count = references_.at(static_cast<std::size_t>(page));
  LLAVA_CHECK(count > 0, "page {} is free", page);
  ++count;
}

void KvBlocks::release(int32_t page) {
  int32_t& count = references_.at(static_cast<std::size_t>(page));
  LLAVA_CHECK(count > 0, "page {} is free", page);
  if (--count == 0) free_.push_back(page);
}

}  // namespace llava::engine
