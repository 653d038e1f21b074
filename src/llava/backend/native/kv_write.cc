// SPDX-License-Identifier: Apache-2.0
//
// Writing new keys and values into the pages of a cache, in the pages' own dtype.
#include <algorithm>
#include <cstring>
#include <vector>

#include "llava/backend/native/native_backend.h"
#include "llava/kernels/dispatch.h"

namespace llava::native {
namespace {

/// Rows of one token as the pages hold them.
class PageWriter {
 public:
  PageWriter(const Tensor& rows_TKE, Tensor& pages, Tensor& scales)
      : source_(rows_TKE.bytes().data()),
        target_(pages.mutable_bytes().data()),
        scales_(scales.is_defined() ? scales.mutable_data<float>().data() : nullptr),
        num_heads_(rows_TKE.dim(1)),
        width_(rows_TKE.dim(2)),
        source_bytes_(num_heads_ * width_ * item_size(rows_TKE.dtype())),
        target_bytes_(num_heads_ * width_ * item_size(pages.dtype())),
        is_copy_(rows_TKE.dtype() == pages.dtype()) {
    if (is_copy_) return;
    const kernels::KernelTable& table = kernels::active();
    to_float_ = table.to_float[format_of(rows_TKE.dtype())];
    if (scales_ == nullptr) {
      from_float_ = table.from_float[format_of(pages.dtype())];
    } else {
      quantize_ = table.quantize_rows;
    }
  }

  int64_t row_bytes() const { return std::max<int64_t>(1, source_bytes_ + target_bytes_); }
  int64_t row_size() const { return num_heads_ * width_; }

  /// `floats` holds row_size() numbers.
  void write(int64_t token, int64_t slot, float* floats) const {
    const std::byte* source = source_ + token * source_bytes_;
    std::byte* target = target_ + slot * target_bytes_;
    if (is_copy_) {
      std::memcpy(target, source, static_cast<std::size_t>(source_bytes_));
      return;
    }
    to_float_(source, floats, row_size());
    if (quantize_ != nullptr) {
      quantize_(floats, reinterpret_cast<int8_t*>(target), scales_ + slot * num_heads_, num_heads_,
                width_);
    } else {
      from_float_(floats, target, row_size());
    }
  }

 private:
  const std::byte* source_;
  std::byte* target_;
  float* scales_;
  int64_t num_heads_;
  int64_t width_;
  int64_t source_bytes_;
  int64_t target_bytes_;
  bool is_copy_;
  kernels::ToFloatFn to_float_ = nullptr;
  kernels::FromFloatFn from_float_ = nullptr;
  kernels::QuantizeRowsFn quantize_ = nullptr;
};

}  // namespace

void NativeBackend::kv_write(KvLayer& layer, const Tensor& k_TKE, const Tensor& v_TKE,
                             std::span<const SequenceSlice> sequences) {
  const int64_t page_size = layer.key_pages.dim(1);
  const PageWriter keys(k_TKE, layer.key_pages, layer.key_scales);
  const PageWriter values(v_TKE, layer.value_pages, layer.value_scales);
  const std::size_t row_bytes = static_cast<std::size_t>(keys.row_size()) * sizeof(float);
  constexpr int64_t kMinBytes = 65536;
  for (const SequenceSlice& sequence : sequences) {
    pool_.run_ranges(
        sequence.num_tokens, kMinBytes / keys.row_bytes(), [&](int64_t begin, int64_t end) {
          const ScratchPool::Lease scratch = scratch_.borrow(row_bytes);
          auto* const floats = reinterpret_cast<float*>(scratch.data());
          for (int64_t i = begin; i < end; ++i) {
            const int64_t position = sequence.num_past + i;
            const int64_t page = sequence.pages[static_cast<std::size_t>(position / page_size)];
            const int64_t slot = page * page_size + position % page_size;
            keys.write(sequence.first_token + i, slot, floats);
            values.write(sequence.first_token + i, slot, floats);
          }
        });
  }
}

}  // namespace llava::native
