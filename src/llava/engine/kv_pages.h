// SPDX-License-Identifier: Apache-2.0
//
// The memory of the KV cache: pages of keys and values of every layer. Who owns which page is
// decided elsewhere (kv_blocks.h, scheduler.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llava/model/config.h"
#include "llava/tensor/ops.h"

namespace llava::engine {

/// `num_pages` pages of `page_size` tokens in one dtype: float32, float16, bfloat16 or int8.
///
/// Threads: one thread at a time.
class KvPages {
 public:
  /// Throws: Error(kResourceExhausted) when the memory is not to be had.
  KvPages(Context& ctx, const model::DecoderConfig& config, DType dtype, int32_t num_pages,
          int32_t page_size);

  /// Bytes of keys and values of one token over all layers.
  static int64_t bytes_per_token(const model::DecoderConfig& config, DType dtype);

  /// Copies the first `num_tokens` positions of one page to another, in all layers.
  void copy(Context& ctx, int32_t from, int32_t to, int32_t num_tokens);

  /// Bytes of a page over all layers.
  int64_t page_bytes() const;
  /// Copies whole pages to host memory: layer by layer keys, values and their scales, of each the
  /// pages in the order given.
  void read(Context& ctx, std::span<const int32_t> pages, std::span<std::byte> out) const;
  /// Fills pages with what was read from as many.
  void write(Context& ctx, std::span<const int32_t> pages, std::span<const std::byte> bytes);

  int32_t page_size() const noexcept { return page_size_; }
  KvCacheView view() { return {layers_}; }

 private:
  int32_t page_size_;
  std::vector<KvLayer> layers_;
};

}  // namespace llava::engine
