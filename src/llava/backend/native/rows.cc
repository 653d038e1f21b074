// SPDX-License-Identifier: Apache-2.0
//
// Operations that move whole rows: embedding, gather, scatter and concatenation.
#include <algorithm>
#include <cstring>

#include "llava/backend/native/native_backend.h"

namespace llava::native {
namespace {

constexpr int64_t kMinBytes = 65536;

int64_t bytes_per_row(const Tensor& x) {
  int64_t bytes = item_size(x.dtype());
  for (int i = 1; i < x.rank(); ++i) bytes *= x.dim(i);
  return bytes;
}

Tensor copy_rows(ThreadPool& pool, ResultPool& memory, const Tensor& x,
                 std::span<const int32_t> rows) {
  Shape shape = x.shape();
  shape[0] = static_cast<int64_t>(rows.size());
  Tensor out = memory.empty(std::move(shape), x.dtype());
  const int64_t row_bytes = bytes_per_row(x);
  const std::byte* source = x.bytes().data();
  std::byte* target = out.mutable_bytes().data();
  pool.run_ranges(static_cast<int64_t>(rows.size()), kMinBytes / std::max<int64_t>(1, row_bytes),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t i = begin; i < end; ++i) {
                      std::memcpy(target + i * row_bytes,
                                  source + rows[static_cast<std::size_t>(i)] * row_bytes,
                                  static_cast<std::size_t>(row_bytes));
                    }
                  });
  return out;
}

}  // namespace

Tensor NativeBackend::embedding(const Tensor& table_VD, std::span<const int32_t> ids, DType dtype) {
  if (is_packed(table_VD.dtype())) return packed_rows(table_VD, ids, dtype);
  const Tensor rows = copy_rows(pool_, results_, table_VD, ids);
  return rows.dtype() == dtype ? rows : cast(rows, dtype);
}

void NativeBackend::write_rows(Tensor& target, int64_t first_row, const Tensor& rows) {
  const auto bytes = rows.bytes();
  std::memcpy(target.mutable_bytes().data() + first_row * bytes_per_row(target), bytes.data(),
              bytes.size());
}

Tensor NativeBackend::gather_rows(const Tensor& x, std::span<const int32_t> rows) {
  return copy_rows(pool_, results_, x, rows);
}

Tensor NativeBackend::scatter_rows(const Tensor& x, const Tensor& source,
                                   std::span<const int32_t> rows) {
  Tensor out = results_.empty(x.shape(), x.dtype());
  const int64_t row_bytes = bytes_per_row(x);
  const std::byte* kept = x.bytes().data();
  const std::byte* written = source.bytes().data();
  std::byte* target = out.mutable_bytes().data();
  pool_.run_ranges(x.num_bytes(), kMinBytes, [&](int64_t begin, int64_t end) {
    std::memcpy(target + begin, kept + begin, static_cast<std::size_t>(end - begin));
  });
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(target + rows[i] * row_bytes, written + static_cast<int64_t>(i) * row_bytes,
                static_cast<std::size_t>(row_bytes));
  }
  return out;
}

Tensor NativeBackend::concat_rows(std::span<const Tensor> parts) {
  Shape shape = parts[0].shape();
  shape[0] = 0;
  for (const Tensor& part : parts) shape[0] += part.dim(0);
  Tensor out = results_.empty(std::move(shape), parts[0].dtype());
  std::byte* target = out.mutable_bytes().data();
  for (const Tensor& part : parts) {
    const std::byte* source = part.bytes().data();
    pool_.run_ranges(part.num_bytes(), kMinBytes, [&](int64_t begin, int64_t end) {
      std::memcpy(target + begin, source + begin, static_cast<std::size_t>(end - begin));
    });
    target += part.num_bytes();
  }
  return out;
}

Tensor NativeBackend::concat_columns(std::span<const Tensor> parts) {
  Shape shape = parts[0].shape();
  shape.back() = 0;
  for (const Tensor& part : parts) shape.back() += part.dim(-1);
  const int64_t item = item_size(parts[0].dtype());
  const int64_t out_row_bytes = shape.back() * item;
  Tensor out = results_.empty(std::move(shape), parts[0].dtype());
  const int64_t num_rows = out.num_bytes() / std::max<int64_t>(1, out_row_bytes);
  std::byte* target = out.mutable_bytes().data();
  for (const Tensor& part : parts) {
    const std::byte* source = part.bytes().data();
    const int64_t row_bytes = part.dim(-1) * item;
    pool_.run_ranges(num_rows, kMinBytes / std::max<int64_t>(1, row_bytes),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t row = begin; row < end; ++row) {
                         std::memcpy(target + row * out_row_bytes, source + row * row_bytes,
                                     static_cast<std::size_t>(row_bytes));
                       }
                     });
    target += row_bytes;
  }
  return out;
}

}  // namespace llava::native
