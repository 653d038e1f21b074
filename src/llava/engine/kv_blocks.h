// SPDX-License-Identifier: Apache-2.0
//
// Book-keeping of the KV cache's pages: plain integers, no tensors. What shares a page (sequences,
// the prefix tree) shares it by reference count.
#pragma once

#include <cstdint>
#include <vector>

namespace llava::engine {

/// Whether pages may hold this many tokens: 1, 8, 16 or 64.
bool is_page_size(int32_t num_tokens) noexcept;

/// A fixed number of pages with reference counts. Nothing is allocated after construction.
///
/// Threads: one thread at a time.
class KvBlocks {
 public:
  /// Throws: Error(kInvalidArgument) for a page size other than is_page_size allows.
  KvBlocks(int32_t num_pages, int32_t page_size);

  int32_t page_size() const noexcept { return page_size_; }
  int32_t num_pages() const noexcept { return static_cast<int32_t>(references_.size()); }
  int32_t num_free() const noexcept { return static_cast<int32_t>(free_.size()); }
  int32_t num_used() const noexcept { return num_pages() - num_free(); }
  /// Pages that hold `num_tokens` tokens.
  int32_t pages_for(int64_t num_tokens) const noexcept {
    return static_cast<int32_t>((num_tokens + page_size_ - 1) / page_size_);
  }
  /// References to a page; 0: it is free.
  int32_t references(int32_t page) const { return references_.at(static_cast<std::size_t>(page)); }

  /// A free page with one reference.
  ///
  /// Throws: Error(kResourceExhausted) when none is left.
  int32_t allocate();
  /// Adds a reference to a page in use.
  void retain(int32_t page);
  /// Drops a reference; the last one frees the page.
  void release(int32_t page);

 private:
  int32_t page_size_;
  std::vector<int32_t> references_;
  std::vector<int32_t> free_;
};

}  // namespace llava::engine
