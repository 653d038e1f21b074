// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/kv_pages.h"

#include <cstring>
#include <memory>
#include <numeric>
#include <utility>

#include "llava/core/check.h"

namespace llava::engine {
namespace {

// The tensors of a layer that hold something: keys and values, and their scales where there are.
template <class Layer, class Function>
void for_each_tensor(Layer& layer, const Function& function) {
  for (auto* pages :
       {&layer.key_pages, &layer.value_pages, &layer.key_scales, &layer.value_scales}) {
    if (pages->is_defined()) function(*pages);
  }
}

// The same memory as rows of tokens.
Tensor by_token(const Tensor& pages) {
  Shape shape = pages.shape();
  shape.erase(shape.begin());
  shape.front() = -1;
  return pages.reshape(shape);
}

int64_t bytes_of_page(const Tensor& pages) { return pages.num_bytes() / pages.dim(0); }

}  // namespace

KvPages::KvPages(Context& ctx, const model::DecoderConfig& config, DType dtype, int32_t num_pages,
                 int32_t page_size)
    : page_size_(page_size) {
  const Shape shape{num_pages, page_size, config.num_key_value_heads, config.head_dim};
  const Shape scales{num_pages, page_size, config.num_key_value_heads};
  for (int32_t i = 0; i < config.num_hidden_layers; ++i) {
    KvLayer layer{ops::empty(ctx, shape, dtype), ops::empty(ctx, shape, dtype)};
    if (dtype == DType::kInt8) {
      layer.key_scales = ops::empty(ctx, scales, DType::kFloat32);
      layer.value_scales = ops::empty(ctx, scales, DType::kFloat32);
    }
    layers_.push_back(std::move(layer));
  }
}

int64_t KvPages::bytes_per_token(const model::DecoderConfig& config, DType dtype) {
  const int64_t per_head =
      config.head_dim * item_size(dtype) + (dtype == DType::kInt8 ? item_size(DType::kFloat32) : 0);
  return int64_t{2} * config.num_hidden_layers * config.num_key_value_heads * per_head;
}

void KvPages::copy(Context& ctx, int32_t from, int32_t to, int32_t num_tokens) {
  std::vector<int32_t> rows(static_cast<std::size_t>(num_tokens));
  std::iota(rows.begin(), rows.end(), from * page_size_);
  for (KvLayer& layer : layers_) {
    for_each_tensor(layer, [&](const Tensor& pages) {
      Tensor tokens = by_token(pages);
      ops::write_rows(ctx, tokens, int64_t{to} * page_size_, ops::gather_rows(ctx, tokens, rows));
    });
  }
}

int64_t KvPages::page_bytes() const {
  int64_t sum = 0;
  for (const KvLayer& layer : layers_) {
    for_each_tensor(layer, [&](const Tensor& pages) { sum += bytes_of_page(pages); });
  }
  return sum;
}

void KvPages::read(Context& ctx, std::span<const int32_t> pages, std::span<std::byte> out) const {
  LLAVA_CHECK(static_cast<int64_t>(out.size()) ==
              page_bytes() * static_cast<int64_t>(pages.size()));
  if (pages.empty()) return;
  std::vector<int32_t> rows;
  for (const int32_t page : pages) {
    for (int32_t i = 0; i < page_size_; ++i) rows.push_back(page * page_size_ + i);
  }
  for (const KvLayer& layer : layers_) {
    for_each_tensor(layer, [&](const Tensor& tensor) {
      const Tensor host = ops::to_host(ctx, ops::gather_rows(ctx, by_token(tensor), rows));
      const auto bytes = host.bytes();
      std::memcpy(out.data(), bytes.data(), bytes.size());
      out = out.subspan(bytes.size());
    });
  }
}

void KvPages::write(Context& ctx, std::span<const int32_t> pages,
                    std::span<const std::byte> bytes) {
  LLAVA_CHECK(static_cast<int64_t>(bytes.size()) ==
              page_bytes() * static_cast<int64_t>(pages.size()));
  for (KvLayer& layer : layers_) {
    for_each_tensor(layer, [&](Tensor& tensor) {
      Tensor tokens = by_token(tensor);
      const auto one = static_cast<std::size_t>(bytes_of_page(tensor));
      for (std::size_t begin = 0; begin < pages.size();) {
        // A run of pages that lie one behind the other.
        std::size_t end = begin + 1;
        while (end < pages.size() && pages[end] == pages[end - 1] + 1) ++end;
        Shape shape = tokens.shape();
        shape.front() = static_cast<int64_t>(end - begin) * page_size_;
        // The bytes outlive the view, which is used here and now.
        const Tensor rows = Tensor::view_of(
            std::shared_ptr<const void>(), bytes.first((end - begin) * one), shape, tensor.dtype());
        ops::write_rows(ctx, tokens, int64_t{pages[begin]} * page_size_, ops::from_host(ctx, rows));
        bytes = bytes.subspan((end - begin) * one);
        begin = end;
      }
    });
  }
}

}  // namespace llava::engine
