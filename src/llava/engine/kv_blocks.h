// SPDX-License-Identifier: Apache-2.0
//
// Book-keeping of the KV cache's pages: plain integers, no tensors. Sequences that share a prefix
// share its full pages by reference count.
#pragma once

#include <cstdint>
#include <vector>

namespace llava::engine {

/// A fixed number of pages with reference counts.
///
/// Threads: one thread at a time.
class KvBlocks {
 public:
  explicit KvBlocks(int32_t num_pages);

  int32_t num_pages() const noexcept { return static_cast<int32_t>(references_.size()); }
  int32_t num_free() const noexcept { return static_cast<int32_t>(free_.size()); }

  /// A free page with one reference.
  ///
  /// Throws: Error(kResourceExhausted) when none is left.
  int32_t allocate();
  /// Adds a reference to a page in use.
  void retain(int32_t page);
  /// Drops a reference; the last one frees the page.
  void release(int32_t page);

 private:
  std::vector<int32_t> references_;
  std::vector<int32_t> free_;
};

}  // namespace llava::engine
