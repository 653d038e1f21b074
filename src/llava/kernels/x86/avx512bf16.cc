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

struct PairDot {
  using Isa = Avx512;
  using Element = BFloat16;
  using Vector = __m512bh;
  static constexpr int64_t kStep = 32;
  static constexpr int64_t kBlock = 2048;
  [[gnu::always_inline]] static Vector load(const BFloat16* p) {
    return reinterpret_cast<Vector>(_mm512_loadu_si512(p));
  }
  [[gnu::always_inline]] static Vector load_first(const BFloat16* p, int64_t n) {
    const __mmask32 mask = (1u << static_cast<unsigned>(n)) - 1u;
    return reinterpret_cast<Vector>(_mm512_maskz_loadu_epi16(mask, p));
  }
  [[gnu::always_inline]] static __m512 accumulate(__m512 sum, Vector x, Vector w) {
    return _mm512_dpbf16_ps(sum, x, w);
  }
};

/// Scores of attention on pairs of bfloat16 elements.
struct PairScore {
  using Isa = Avx512;
  using Element = BFloat16;
  static constexpr int kStep = 2;

  static void fill_query(const BFloat16* q, float* units, int64_t width) {
    for (int64_t e = 0; e < width; e += 32, units += 16) {
      _mm512_storeu_ps(units, width - e >= 32 ? Avx512::load_units(q + e)
                                              : Avx512::load_units_first(q + e, width - e));
    }
  }
  [[gnu::always_inline]] static __m512 step(const KeyTile<Avx512, BFloat16>& tile, int i) {
    return tile.v[i];
  }
  [[gnu::always_inline]] static __m512 accumulate(__m512 q, __m512 k, __m512 sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(q), reinterpret_cast<__m512bh>(k));
  }
};

}  // namespace

const KernelTable& table() noexcept {
  static constexpr KernelTable kTable = [] {
    KernelTable table = make_table<Avx512>("avx512bf16", avx512vnni::kPackedKernels);
    table.linear[kFormatBF16] = linear<PairDot, PairDot, BFloat16>;
    table.attention[kFormatBF16] = attention<PairScore, BFloat16>;
    return table;
  }();
  return kTable;
}

}  // namespace llava::kernels::avx512bf16
