// SPDX-License-Identifier: Apache-2.0
//
// Memory and row operations: what moves elements must not change one bit.
#include <array>
#include <cstring>

#include "llava/backend/backend_case.h"
#include "llava/core/error.h"

namespace llava {
namespace {

class RowsTest : public BackendCase {
 protected:
  // Rows `rows` of a host tensor, copied here.
  static Tensor picked(const Tensor& x, std::span<const int32_t> rows) {
    Shape shape = x.shape();
    shape[0] = static_cast<int64_t>(rows.size());
    Tensor result = Tensor::empty(shape, x.dtype());
    const std::size_t row_bytes =
        static_cast<std::size_t>(x.num_bytes()) / static_cast<std::size_t>(x.dim(0));
    std::byte* out = result.mutable_bytes().data();
    for (const int32_t row : rows) {
      std::memcpy(out, x.bytes().data() + static_cast<std::size_t>(row) * row_bytes, row_bytes);
      out += row_bytes;
    }
    return result;
  }

  void expect_same(const Tensor& got, const Tensor& expected) {
    const Tensor result = host(got);
    ASSERT_EQ(result.shape(), expected.shape());
    ASSERT_EQ(result.dtype(), expected.dtype());
    EXPECT_EQ(std::memcmp(result.bytes().data(), expected.bytes().data(), result.bytes().size()),
              0);
  }
};

TEST_P(RowsTest, HostRoundTripKeepsBytes) {
  const Tensor x = arguments.tensor({3, 5}, dtype());
  const Tensor moved = ops::from_host(ctx(), x);
  EXPECT_EQ(moved.device(), ctx().backend.device());
  expect_same(moved, x);
}

TEST_P(RowsTest, EmptyHasShapeAndDevice) {
  const Tensor x = ops::empty(ctx(), {2, 3, 4}, dtype());
  EXPECT_EQ(x.shape(), (Shape{2, 3, 4}));
  EXPECT_EQ(x.dtype(), dtype());
  EXPECT_EQ(x.device(), ctx().backend.device());
}

TEST_P(RowsTest, CastRoundsToNearestEven) {
  for (const DType to : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
    const Tensor x = arguments.tensor({17, 9}, dtype(), 3.0);
    expect_same(ops::cast(ctx(), x, to), host_cast(x, to));
  }
}

TEST_P(RowsTest, WriteRowsChangesThemAndNoOthers) {
  const Tensor before = arguments.tensor({6, 2, 3}, dtype());
  const Tensor rows = arguments.tensor({2, 2, 3}, dtype());
  // A copy: the target is written in place.
  const std::array<int32_t, 6> all = {0, 1, 2, 3, 4, 5};
  Tensor target = ops::gather_rows(ctx(), ops::from_host(ctx(), before), all);
  ops::write_rows(ctx(), target, 3, ops::from_host(ctx(), rows));
  Tensor expected = Tensor::empty(before.shape(), before.dtype());
  std::memcpy(expected.mutable_bytes().data(), before.bytes().data(), before.bytes().size());
  std::memcpy(expected.rows(3, 5).mutable_bytes().data(), rows.bytes().data(), rows.bytes().size());
  expect_same(target, expected);
}

TEST_P(RowsTest, EmbeddingCopiesRows) {
  const Tensor table = arguments.tensor({11, 24}, dtype());
  const std::array<int32_t, 6> ids{10, 0, 3, 3, 7, 10};
  expect_same(ops::embedding(ctx(), table, ids, dtype()), picked(table, ids));
  EXPECT_EQ(ops::embedding(ctx(), table, {}, dtype()).shape(), (Shape{0, 24}));
}

TEST_P(RowsTest, EmbeddingRoundsRowsOfAnotherType) {
  const std::array<int32_t, 4> ids{10, 0, 3, 3};
  for (const DType stored : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
    const Tensor table = arguments.tensor({11, 24}, stored);
    expect_same(ops::embedding(ctx(), table, ids, dtype()), host_cast(picked(table, ids), dtype()));
  }
}

TEST_P(RowsTest, GatherCopiesRowsOfAnyRank) {
  const Tensor x = arguments.tensor({9, 3, 5}, dtype());
  const std::array<int32_t, 4> rows{8, 1, 1, 0};
  expect_same(ops::gather_rows(ctx(), x, rows), picked(x, rows));
}

TEST_P(RowsTest, ScatterReplacesOnlyItsRows) {
  const Tensor x = arguments.tensor({7, 6}, dtype());
  const Tensor source = arguments.tensor({3, 6}, dtype());
  const std::array<int32_t, 3> rows{6, 0, 4};
  const std::array<Tensor, 2> both{x, source};
  const Tensor stacked = ops::concat_rows(ctx(), both);
  const std::array<int32_t, 7> expected{8, 1, 2, 3, 9, 5, 7};
  expect_same(ops::scatter_rows(ctx(), x, source, rows), picked(host(stacked), expected));
  // The argument itself is not written.
  Arguments again(20240601);
  expect_same(x, again.tensor({7, 6}, dtype()));
}

TEST_P(RowsTest, ConcatRowsTakesUnequalCounts) {
  const Tensor x = arguments.tensor({10, 4}, dtype());
  const std::array<Tensor, 3> parts{x.rows(0, 2), x.rows(2, 3), x.rows(3, 10)};
  expect_same(ops::concat_rows(ctx(), parts), x);
}

TEST_P(RowsTest, ConcatColumnsTakesUnequalWidths) {
  const Tensor a = arguments.tensor({3, 2}, DType::kFloat32);
  const Tensor b = arguments.tensor({3, 5}, DType::kFloat32);
  Tensor expected = Tensor::empty({3, 7}, DType::kFloat32);
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t i = 0; i < 2; ++i) {
      expected.mutable_data<float>()[row * 7 + i] = a.data<float>()[row * 2 + i];
    }
    for (std::size_t i = 0; i < 5; ++i) {
      expected.mutable_data<float>()[row * 7 + 2 + i] = b.data<float>()[row * 5 + i];
    }
  }
  const std::array<Tensor, 2> parts{host_cast(a, dtype()), host_cast(b, dtype())};
  expect_same(ops::concat_columns(ctx(), parts), host_cast(expected, dtype()));
}

TEST_P(RowsTest, OutOfRangeRowIsAnInternalError) {
  const Tensor x = arguments.tensor({4, 2}, dtype());
  const std::array<int32_t, 1> rows{4};
  try {
    ops::gather_rows(ctx(), x, rows);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInternal);
  }
}

LLAVA_ON_ALL_BACKENDS(RowsTest);

}  // namespace
}  // namespace llava
