// SPDX-License-Identifier: Apache-2.0
//
// Kernels for AVX-512 with the bfloat16 instructions: those of avx512.cc, narrowing in one
// instruction, and the bfloat16 matrix product and scores of attention on the dot product; packed
// matrices as with VNNI. Each lane of vdpbf16ps adds the products of two neighbouring inputs to its
// running float32 sum, rounding to nearest even after each, with subnormal operands and results
// taken as zero.
#include "llava/kernels/simd/table.h"
#include "llava/kernels/tables.h"
#include "llava/kernels/x86/avx512_vector.h"

namespace llava::kernels::avx512bf16 {
namespace {

/// Steps of two bfloat16 elements.
struct PairProduct {
  using Isa = Avx512;
  using Element = BFloat16;
  static constexpr int kStep = 2;

  static void fill_units(const BFloat16* x, float* units, int64_t count) {
    for (int64_t e = 0; e < count; e += 32, units += 16) {
      _mm512_storeu_ps(units, count - e >= 32 ? Avx512::load_units(x + e)
                                              : Avx512::load_units_first(x + e, count - e));
    }
  }
  [[gnu::always_inline]] static __m512 step(const TurnedTile<Avx512, BFloat16>& tile, int i) {
    return tile.v[i];
  }
  [[gnu::always_inline]] static __m512 accumulate(__m512 x, __m512 w, __m512 sum) {
#if defined(__clang__)
    // Clang 16 does not come to an end (it crashes) where it may look through shuffles of float
    // vectors into bfloat16 ones.
    asm("" : "+v"(x), "+v"(w));
#endif
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(w));
  }
};

}  // namespace

const KernelTable& table() noexcept {
  static constexpr KernelTable kTable = [] {
    KernelTable table = make_table<Avx512>("avx512bf16", avx512vnni::kPackedKernels);
    table.linear[kFormatBF16] = linear<PairProduct, BFloat16>;
    table.attention[kFormatBF16] = attention<PairProduct, BFloat16>;
    return table;
  }();
  return kTable;
}

}  // namespace llava::kernels::avx512bf16
