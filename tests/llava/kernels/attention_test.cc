// SPDX-License-Identifier: Apache-2.0
//
// Attention beside its scalar twin.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>

#include "llava/kernels/kernel_case.h"

namespace llava::kernels {
namespace {

struct Shape {
  int64_t head_width;
  int64_t group;
  int64_t num_past;
  int64_t num_tokens;
  int64_t window;
  bool is_causal;
  int64_t page_size;
};

class AttentionKernelTest : public KernelCase {
 protected:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  // Keys or values in a stored format: two key heads, of which the second is used.
  struct Stored {
    Array floats;
    std::vector<int8_t> codes;
    std::vector<float> scales;

    const void* head(int64_t width, KeyValueFormat stored) const {
      if (stored == kKeyValueInt8) return codes.data() + width;
      return static_cast<const std::byte*>(floats.data()) +
             width * format_size(static_cast<Format>(stored));
    }
    const float* head_scales() const { return scales.empty() ? nullptr : scales.data() + 1; }
  };

  Stored random_rows(int64_t num_rows, int64_t width, KeyValueFormat stored, int64_t misalignment) {
    if (stored != kKeyValueInt8) {
      const auto as = static_cast<Format>(stored);
      std::vector<float> values = random(num_rows * 2 * width, 2.0f);
      return {Array(as, std::move(values), misalignment), {}, {}};
    }
    Stored rows{Array(kFormatF32, 0), {}, {}};
    for (int64_t i = 0; i < num_rows * 2 * width; ++i) {
      rows.codes.push_back(static_cast<int8_t>(static_cast<int64_t>(generator_.below(255)) - 127));
    }
    for (int64_t i = 0; i < num_rows * 2; ++i) {
      rows.scales.push_back(static_cast<float>(generator_.uniform()) * 2.0f / 127.0f);
    }
    return rows;
  }

  // All rows of the call, in runs that the kernel takes.
  static void run(AttentionFn kernel, AttentionArgs args, int64_t num_rows) {
    for (int64_t begin = 0; begin < num_rows; begin += kAttentionMaxRows) {
      args.row_begin = begin;
      args.row_end = std::min(num_rows, begin + kAttentionMaxRows);
      kernel(args);
    }
  }

  // The same piece by piece.
  static void run_pieces(AttentionFn kernel, AttentionFn merge, AttentionArgs args,
                         int64_t num_rows) {
    args.row_end = num_rows;
    const int64_t first = args.first_position + 1;
    args.piece_begin =
        (args.window > 0 ? std::max<int64_t>(0, first - args.window) : 0) / kAttentionPiece;
    args.piece_end = (args.num_keys + kAttentionPiece - 1) / kAttentionPiece;
    const int64_t floats = num_rows * attention_partial_floats(args.head_width);
    std::vector<float> partials(
        static_cast<std::size_t>((args.piece_end - args.piece_begin) * floats), std::nanf(""));
    for (int64_t piece = args.piece_end; piece > args.piece_begin; --piece) {
      AttentionArgs part = args;
      part.piece_begin = piece - 1;
      part.partials = partials.data() + (piece - 1 - args.piece_begin) * floats;
      kernel(part);
    }
    args.partials = partials.data();
    args.partial_stride = floats;
    merge(args);
  }

  void check(const Shape& shape) {
    check(shape, static_cast<KeyValueFormat>(format()));
    if (format() != kFormatF32) return;
    for (const KeyValueFormat stored : {kKeyValueF16, kKeyValueBF16, kKeyValueInt8}) {
      check(shape, stored);
    }
  }

  void check(const Shape& shape, KeyValueFormat stored) {
    SCOPED_TRACE(testing::Message()
                 << "width " << shape.head_width << ", group " << shape.group << ", past "
                 << shape.num_past << ", tokens " << shape.num_tokens << ", window " << shape.window
                 << ", causal " << shape.is_causal << ", pages of " << shape.page_size
                 << ", stored as " << stored);
    const int64_t num_keys = shape.num_past + shape.num_tokens;
    const int64_t num_pages = num_keys / shape.page_size + 1;
    const Array q = random_array(shape.num_tokens * shape.group * shape.head_width, 2.0f, 1);
    const Stored k = random_rows(num_pages * shape.page_size, shape.head_width, stored, 3);
    const Stored v = random_rows(num_pages * shape.page_size, shape.head_width, stored, 2);
    // Pages in reverse.
    std::vector<int32_t> pages(static_cast<std::size_t>(num_pages));
    std::iota(pages.rbegin(), pages.rend(), 0);
    const int64_t num_rows = shape.num_tokens * shape.group;
    Array got(format(), num_rows * shape.head_width, 1);
    Array expected(format(), num_rows * shape.head_width);
    const std::size_t bytes = attention_scratch_bytes(shape.head_width);
    const std::unique_ptr<std::byte, Free> scratch(
        static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
    AttentionArgs args{.q = q.data(),
                       .q_stride = shape.group * shape.head_width,
                       .out = got.data(),
                       .out_stride = shape.group * shape.head_width,
                       .cache = {.keys = k.head(shape.head_width, stored),
                                 .values = v.head(shape.head_width, stored),
                                 .stride = 2 * shape.head_width,
                                 .pages = pages.data(),
                                 .page_size = shape.page_size,
                                 .key_scales = k.head_scales(),
                                 .value_scales = v.head_scales(),
                                 .scale_stride = 2},
                       .head_width = shape.head_width,
                       .num_key_heads = 1,
                       .group = shape.group,
                       .row_begin = 0,
                       .row_end = 0,
                       .first_position = shape.num_past,
                       .num_keys = num_keys,
                       .window = shape.window,
                       .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_width)),
                       .is_causal = shape.is_causal,
                       .partials = nullptr,
                       .partial_stride = 0,
                       .piece_begin = 0,
                       .piece_end = 0,
                       .scratch = scratch.get()};
    const auto kernel_of = [&](const KernelTable& kernels) {
      return stored == static_cast<KeyValueFormat>(format()) ? kernels.attention[format()]
                                                             : kernels.attention_f32[stored];
    };
    run(kernel_of(table()), args, num_rows);
    args.out = expected.data();
    run(kernel_of(scalar()), args, num_rows);
    // A score is off by head_width roundings of at most 4 head_width scale, which moves its weight
    // by as much; the weights' sum and the output carry one rounding per key. Values are at most 2.
    const double score_error = 2 * (static_cast<double>(shape.head_width) + 4) * kFloatRoundoff *
                               4 * std::sqrt(static_cast<double>(shape.head_width));
    const double bound =
        2 * (2 * score_error + (2 * static_cast<double>(num_keys) + 32) * kFloatRoundoff);
    expect_near(got, expected, std::vector<double>(expected.values().size(), bound), format());
    if (num_rows > kAttentionMaxRows) return;
    for (const KernelTable* kernels : {&scalar(), &table()}) {
      Array merged(format(), num_rows * shape.head_width);
      args.out = merged.data();
      run_pieces(kernel_of(*kernels), kernels->attention_merge[format()], args, num_rows);
      EXPECT_EQ(merged.values(), kernels == &table() ? got.values() : expected.values());
    }
  }
};

TEST_P(AttentionKernelTest, EveryHeadWidth) {
  for (int64_t width = 1; width <= 72; ++width) {
    check({width, 1, 0, 9, 0, true, 16});
    check({width, 1, 20, 1, 0, true, 16});
  }
  for (const int64_t width : {80, 96, 128, 160, 256}) {
    check({width, 1, 0, 70, 0, true, 16});
    check({width, 2, 130, 1, 0, true, 16});
  }
}

TEST_P(AttentionKernelTest, EveryNumberOfKeys) {
  for (int64_t past = 0; past <= 140; ++past) {
    check({16, 1, past, 1, 0, true, 16});
    check({16, 2, past, 5, 0, true, 7});
  }
}

TEST_P(AttentionKernelTest, PiecesOfTheContext) {
  for (const int64_t past : {250, 255, 256, 257, 511, 700}) {
    check({64, 1, past, 1, 0, true, 16});
    check({32, 3, past, 4, 0, true, 64});
    check({16, 1, past, 70, 300, true, 16});
  }
  check({24, 1, 0, 600, 0, false, 128});
  check({64, 2, 200, 400, 0, true, 1});
}

TEST_P(AttentionKernelTest, MasksWindowsAndPages) {
  for (const int64_t window : {0, 1, 2, 15, 64, 65, 100}) {
    for (const int64_t page_size : {1, 5, 64, 300}) {
      check({24, 3, 40, 90, window, true, page_size});
      check({24, 1, 150, 2, window, true, page_size});
    }
  }
  check({64, 1, 0, 130, 0, false, 200});
  check({8, 4, 0, 33, 0, false, 16});
}

TEST_P(AttentionKernelTest, RandomShapes) {
  const uint64_t seed = 20240603;
  RecordProperty("seed", std::to_string(seed));
  Generator shapes(seed);
  const auto draw = [&](uint64_t bound) { return static_cast<int64_t>(shapes.below(bound)); };
  for (int i = 0; i < 40; ++i) {
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", case " << i);
    const bool is_causal = draw(4) != 0;
    check({1 + draw(130), 1 + draw(9), is_causal ? draw(200) : 0, 1 + draw(60),
           is_causal && draw(2) == 0 ? 1 + draw(150) : 0, is_causal, 1 + draw(80)});
  }
}

TEST_P(AttentionKernelTest, QuantizedRowsEqualTheScalarOnes) {
  if (format() != kFormatF32) GTEST_SKIP() << "rows are float32";
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int64_t width = 1; width <= 70; ++width) {
    constexpr int64_t kRows = 6;
    std::vector<float> values = random(kRows * width, 3.0f);
    const auto row = [&](int64_t r) { return values.begin() + r * width; };
    std::fill(row(1), row(2), 0.0f);
    std::fill(row(2), row(3), 0x1.0p-130f);
    *row(4) = infinity;
    *(row(5) - 1 + width) = nan;
    const Array x(kFormatF32, values, width % 5);
    std::vector<int8_t> got(values.size() + 1, 99);
    std::vector<int8_t> expected(values.size() + 1, 99);
    std::vector<float> got_scales(kRows);
    std::vector<float> expected_scales(kRows);
    table().quantize_rows(static_cast<const float*>(x.data()), got.data(), got_scales.data(), kRows,
                          width);
    scalar().quantize_rows(static_cast<const float*>(x.data()), expected.data(),
                           expected_scales.data(), kRows, width);
    const auto num_finite = static_cast<std::ptrdiff_t>(4 * width);
    EXPECT_TRUE(std::equal(got.begin(), got.begin() + num_finite, expected.begin())) << width;
    EXPECT_TRUE(std::equal(got_scales.begin(), got_scales.begin() + 4, expected_scales.begin()));
    EXPECT_EQ(got.back(), 99);
    EXPECT_EQ(expected_scales[1], 0.0f);
    EXPECT_EQ(expected_scales[2], 0.0f);
    for (const std::size_t bad : {4u, 5u}) {
      EXPECT_FALSE(std::isfinite(got_scales[bad]));
      EXPECT_FALSE(std::isfinite(expected_scales[bad]));
    }
    for (std::ptrdiff_t i = 0; i < num_finite; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const float scale = expected_scales[at / static_cast<std::size_t>(width)];
      EXPECT_NEAR(static_cast<float>(expected[at]) * scale, values[at],
                  0.5f * scale + 1e-6f * std::fabs(values[at]) + 0x1.0p-120f);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, AttentionKernelTest, testing::ValuesIn(vector_settings()),
                         setting_name);

}  // namespace
}  // namespace llava::kernels
