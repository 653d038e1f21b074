// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/gguf_dequantize.h"

#include <array>
#include <cstring>

#include "llava/core/check.h"
#include "llava/core/float_formats.h"

namespace llava::checkpoint {
namespace {

constexpr int64_t kSmallBlock = 32;
constexpr int64_t kSuperBlock = 256;
constexpr std::size_t kPackedScales = 12;

struct TypeRow {
  uint32_t type;
  GgufTypeInfo info;
};

constexpr std::array<TypeRow, 16> kTypes = {{
    {0, {"F32", 1, 4, false}},
    {1, {"F16", 1, 2, false}},
    {2, {"Q4_0", kSmallBlock, 2 + 16, true}},
    {3, {"Q4_1", kSmallBlock, 2 + 2 + 16, true}},
    {6, {"Q5_0", kSmallBlock, 2 + 4 + 16, true}},
    {7, {"Q5_1", kSmallBlock, 2 + 2 + 4 + 16, true}},
    {8, {"Q8_0", kSmallBlock, 2 + 32, true}},
    {12, {"Q4_K", kSuperBlock, 2 + 2 + 12 + 128, true}},
    {13, {"Q5_K", kSuperBlock, 2 + 2 + 12 + 32 + 128, true}},
    {14, {"Q6_K", kSuperBlock, 128 + 64 + 16 + 2, true}},
    {24, {"I8", 1, 1, false}},
    {25, {"I16", 1, 2, false}},
    {26, {"I32", 1, 4, false}},
    {27, {"I64", 1, 8, false}},
    {28, {"F64", 1, 8, false}},
    {30, {"BF16", 1, 2, false}},
}};

// Names of the types that are not read.
struct OtherType {
  uint32_t type;
  std::string_view name;
};

constexpr std::array<OtherType, 17> kOtherTypes = {{
    {9, "Q8_1"},
    {10, "Q2_K"},
    {11, "Q3_K"},
    {15, "Q8_K"},
    {16, "IQ2_XXS"},
    {17, "IQ2_XS"},
    {18, "IQ3_XXS"},
    {19, "IQ1_S"},
    {20, "IQ4_NL"},
    {21, "IQ3_S"},
    {22, "IQ2_S"},
    {23, "IQ4_XS"},
    {29, "IQ1_M"},
    {31, "Q4_0_4_4"},
    {34, "TQ1_0"},
    {35, "TQ2_0"},
    {39, "MXFP4"},
}};

float half_at(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return float_from_f16(bits);
}

// Low nibbles are the first half of the block, high nibbles the second.
int nibble(const uint8_t* qs, int64_t i) {
  return i < kSmallBlock / 2 ? qs[i] & 0x0F : qs[i - kSmallBlock / 2] >> 4;
}

void expand_q4_0(const uint8_t* block, float* out) {
  const float d = half_at(block);
  for (int64_t i = 0; i < kSmallBlock; ++i) {
    out[i] = d * static_cast<float>(nibble(block + 2, i) - 8);
  }
}

void expand_q4_1(const uint8_t* block, float* out) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  for (int64_t i = 0; i < kSmallBlock; ++i) {
    out[i] = d * static_cast<float>(nibble(block + 4, i)) + m;
  }
}

// The fifth bit of element i is bit i of the word in front of the nibbles.
int five_bits(const uint8_t* high_and_nibbles, int64_t i) {
  const int high = (high_and_nibbles[i / 8] >> (i % 8)) & 1;
  return nibble(high_and_nibbles + 4, i) | (high << 4);
}

void expand_q5_0(const uint8_t* block, float* out) {
  const float d = half_at(block);
  for (int64_t i = 0; i < kSmallBlock; ++i) {
    out[i] = d * static_cast<float>(five_bits(block + 2, i) - 16);
  }
}

void expand_q5_1(const uint8_t* block, float* out) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  for (int64_t i = 0; i < kSmallBlock; ++i) {
    out[i] = d * static_cast<float>(five_bits(block + 4, i)) + m;
  }
}

void expand_q8_0(const uint8_t* block, float* out) {
  const float d = half_at(block);
  for (int64_t i = 0; i < kSmallBlock; ++i) {
    out[i] = d * static_cast<float>(static_cast<int8_t>(block[2 + i]));
  }
}

// Q4_K and Q5_K: eight groups of 32; groups 2g and 2g+1 are the low and high nibbles of 32 bytes,
// and bit i of `high` (Q5_K) is the fifth bit of group i.
void expand_k(const uint8_t* block, const uint8_t* high, const uint8_t* nibbles, float* out) {
  const float d = half_at(block);
  const float dmin = half_at(block + 2);
  for (int64_t group = 0; group < 8; ++group) {
    const auto [scale, min] = gguf_scale_and_minimum(block + 4, group);
    const float group_d = d * static_cast<float>(scale);
    const float group_min = dmin * static_cast<float>(min);
    const uint8_t* qs = nibbles + group / 2 * 32;
    for (int64_t i = 0; i < 32; ++i) {
      int q = group % 2 == 0 ? qs[i] & 0x0F : qs[i] >> 4;
      if (high != nullptr) q |= ((high[i] >> group) & 1) << 4;
      out[group * 32 + i] = group_d * static_cast<float>(q) - group_min;
    }
  }
}

void expand_q4_k(const uint8_t* block, float* out) {
  expand_k(block, nullptr, block + 4 + kPackedScales, out);
}

void expand_q5_k(const uint8_t* block, float* out) {
  expand_k(block, block + 4 + kPackedScales, block + 4 + kPackedScales + 32, out);
}

// Two halves of 128; in each, quarter q holds low bits in nibble q/2 of bytes (q%2)*32... and high
// bits in bits 2q of the 32 high bytes. One scale serves 16 elements.
void expand_q6_k(const uint8_t* block, float* out) {
  const uint8_t* scales = block + 128 + 64;
  const float d = half_at(scales + 16);
  for (int64_t half = 0; half < 2; ++half) {
    const uint8_t* low = block + half * 64;
    const uint8_t* high = block + 128 + half * 32;
    for (int64_t quarter = 0; quarter < 4; ++quarter) {
      for (int64_t i = 0; i < 32; ++i) {
        const uint8_t byte = low[quarter % 2 * 32 + i];
        const int q =
            (quarter < 2 ? byte & 0x0F : byte >> 4) | (((high[i] >> (2 * quarter)) & 3) << 4);
        const int64_t at = half * 128 + quarter * 32 + i;
        const float scale = d * static_cast<float>(static_cast<int8_t>(scales[at / 16]));
        out[at] = scale * static_cast<float>(q - 32);
      }
    }
  }
}

using Expand = void (*)(const uint8_t*, float*);

Expand expander(GgufType type) {
  switch (type) {
    case GgufType::kQ4_0:
      return expand_q4_0;
    case GgufType::kQ4_1:
      return expand_q4_1;
    case GgufType::kQ5_0:
      return expand_q5_0;
    case GgufType::kQ5_1:
      return expand_q5_1;
    case GgufType::kQ8_0:
      return expand_q8_0;
    case GgufType::kQ4_K:
      return expand_q4_k;
    case GgufType::kQ5_K:
      return expand_q5_k;
    case GgufType::kQ6_K:
      return expand_q6_k;
    default:
      return nullptr;
  }
}

}  // namespace

GgufScaleAndMinimum gguf_scale_and_minimum(const uint8_t* packed, int64_t group) noexcept {
  if (group < 4) return {packed[group] & 0x3F, packed[group + 4] & 0x3F};
  const int low = packed[group + 4];
  return {(low & 0x0F) | ((packed[group - 4] >> 2) & 0x30),
          (low >> 4) | ((packed[group] >> 2) & 0x30)};
}

const GgufTypeInfo* find_gguf_type(uint32_t type) noexcept {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return &row.info;
  }
  return nullptr;
}

std::string_view gguf_type_name(uint32_t type) noexcept {
  if (const GgufTypeInfo* info = find_gguf_type(type)) return info->name;
  for (const OtherType& other : kOtherTypes) {
    if (other.type == type) return other.name;
  }
  return "unknown";
}

void dequantize_gguf(GgufType type, std::span<const std::byte> blocks, std::span<float> values) {
  const GgufTypeInfo* info = find_gguf_type(static_cast<uint32_t>(type));
  const Expand expand = expander(type);
  LLAVA_CHECK(info != nullptr && expand != nullptr);
  const auto num_blocks = static_cast<int64_t>(values.size()) / info->block_elements;
  LLAVA_CHECK(num_blocks * info->block_elements == static_cast<int64_t>(values.size()) &&
              num_blocks * info->block_bytes == static_cast<int64_t>(blocks.size()));
  const auto* in = reinterpret_cast<const uint8_t*>(blocks.data());
  for (int64_t i = 0; i < num_blocks; ++i) {
    expand(in + i * info->block_bytes, values.data() + i * info->block_elements);
  }
}

}  // namespace llava::checkpoint
