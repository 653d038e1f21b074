// SPDX-License-Identifier: Apache-2.0
//
// Attention beside its scalar twin.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <numeric>

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

  void check(const Shape& shape) {
    SCOPED_TRACE(testing::Message()
                 << "width " << shape.head_width << ", group " << shape.group << ", past "
                 << shape.num_past << ", tokens " << shape.num_tokens << ", window " << shape.window
                 << ", causal " << shape.is_causal << ", pages of " << shape.page_size);
    const int64_t num_keys = shape.num_past + shape.num_tokens;
    const int64_t num_pages = num_keys / shape.page_size + 1;
    // Two key heads, of which the second is used, and pages in reverse.
    const int64_t stride = 2 * shape.head_width;
    const Array q = random_array(shape.num_tokens * shape.group * shape.head_width, 2.0f, 1);
    const Array k = random_array(num_pages * shape.page_size * stride, 2.0f, 3);
    const Array v = random_array(num_pages * shape.page_size * stride, 2.0f, 2);
    std::vector<int32_t> pages(static_cast<std::size_t>(num_pages));
    std::iota(pages.rbegin(), pages.rend(), 0);
    const int64_t num_rows = shape.num_tokens * shape.group;
    Array got(format(), num_rows * shape.head_width, 1);
    Array expected(format(), num_rows * shape.head_width);
    const std::size_t bytes = attention_scratch_bytes(shape.head_width);
    const std::unique_ptr<std::byte, Free> scratch(
        static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
    const int64_t head = shape.head_width * format_size(format());
    AttentionArgs args{.q = q.data(),
                       .q_stride = shape.group * shape.head_width,
                       .out = got.data(),
                       .out_stride = shape.group * shape.head_width,
                       .cache = {.keys = static_cast<const std::byte*>(k.data()) + head,
                                 .values = static_cast<const std::byte*>(v.data()) + head,
                                 .stride = stride,
                                 .pages = pages.data(),
                                 .page_size = shape.page_size},
                       .head_width = shape.head_width,
                       .group = shape.group,
                       .row_begin = 0,
                       .row_end = 0,
                       .first_position = shape.num_past,
                       .num_keys = num_keys,
                       .window = shape.window,
                       .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_width)),
                       .is_causal = shape.is_causal,
                       .scratch = scratch.get()};
    for (const bool is_scalar : {false, true}) {
      args.out = is_scalar ? expected.data() : got.data();
      for (int64_t begin = 0; begin < num_rows; begin += kAttentionMaxRows) {
        args.row_begin = begin;
        args.row_end = std::min(num_rows, begin + kAttentionMaxRows);
        (is_scalar ? scalar() : table()).attention[format()](args);
      }
    }
    // A score is off by head_width roundings of at most 4 head_width scale, which moves its weight
    // by as much; the weights' sum and the output carry one rounding per key. Values are at most 2.
    const double score_error = 2 * (static_cast<double>(shape.head_width) + 4) * kFloatRoundoff *
                               4 * std::sqrt(static_cast<double>(shape.head_width));
    const double bound =
        2 * (2 * score_error + (2 * static_cast<double>(num_keys) + 32) * kFloatRoundoff);
    expect_near(got, expected, std::vector<double>(expected.values().size(), bound), format());
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

INSTANTIATE_TEST_SUITE_P(All, AttentionKernelTest, testing::ValuesIn(vector_settings()),
                         setting_name);

}  // namespace
}  // namespace llava::kernels
