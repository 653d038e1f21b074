// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/gguf_repack.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "llava/core/check.h"
#include "llava/core/float_formats.h"
#include "llava/tensor/packed.h"

namespace llava::checkpoint {
namespace {

constexpr uint32_t kLowNibbles = 0x0F0F0F0Fu;
constexpr std::size_t kMaxGroups = 8;  // of a block

uint32_t word_at(const uint8_t* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

uint16_t half_bits_at(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return bits;
}

void set_word(PackedGroup& group, std::size_t index, uint32_t word) {
  std::memcpy(group.codes.data() + 4 * index, &word, sizeof(word));
}

void set_scale(PackedGroup& group, uint16_t bits) { group.scales = {bits, bits}; }

// Adds the same number to four codes; none of them overflows its byte.
constexpr uint32_t in_each_byte(uint32_t value) { return value * 0x01010101u; }

// Sixteen bytes whose low nibbles are the first half of the codes and whose high ones the second.
void set_nibbles(const uint8_t* bytes, PackedGroup& group) {
  for (std::size_t i = 0; i < 4; ++i) {
    const uint32_t word = word_at(bytes + 4 * i);
    set_word(group, i, word & kLowNibbles);
    set_word(group, i + 4, (word >> 4) & kLowNibbles);
  }
}

// Four bits as the fifth bits of four codes.
uint32_t fifth_bits(uint32_t bits) {
  return (bits & 1) << 4 | (bits & 2) << 11 | (bits & 4) << 18 | (bits & 8) << 25;
}

void add_fifth_bits(const uint8_t* bytes, uint32_t offset, PackedGroup& group) {
  const uint32_t bits = word_at(bytes);
  for (std::size_t i = 0; i < 8; ++i) {
    const uint32_t word = word_at(group.codes.data() + 4 * i) | fifth_bits(bits >> (4 * i));
    set_word(group, i, word + in_each_byte(offset));
  }
}

void read_q4_0(const uint8_t* block, PackedGroup* groups) {
  set_scale(groups[0], half_bits_at(block));
  set_nibbles(block + 2, groups[0]);
}

void read_q4_1(const uint8_t* block, PackedGroup* groups) {
  set_scale(groups[0], half_bits_at(block));
  groups[0].minimum = half_bits_at(block + 2);
  set_nibbles(block + 4, groups[0]);
}

void read_q5_0(const uint8_t* block, PackedGroup* groups) {
  set_scale(groups[0], half_bits_at(block));
  set_nibbles(block + 6, groups[0]);
  add_fifth_bits(block + 2, 128 - 16, groups[0]);
}

void read_q5_1(const uint8_t* block, PackedGroup* groups) {
  set_scale(groups[0], half_bits_at(block));
  groups[0].minimum = half_bits_at(block + 2);
  set_nibbles(block + 8, groups[0]);
  add_fifth_bits(block + 4, 0, groups[0]);
}

void read_q8_0(const uint8_t* block, PackedGroup* groups) {
  set_scale(groups[0], half_bits_at(block));
  // From two's complement to an offset of 128 is the first bit.
  for (std::size_t i = 0; i < 8; ++i) {
    set_word(groups[0], i, word_at(block + 2 + 4 * i) ^ in_each_byte(0x80));
  }
}

// Q4_K and Q5_K; see gguf_dequantize.cc for their bytes.
void read_k(const uint8_t* block, const uint8_t* high, const uint8_t* nibbles,
            PackedGroup* groups) {
  const float d = float_from_f16(half_bits_at(block));
  const float dmin = float_from_f16(half_bits_at(block + 2));
  for (std::size_t g = 0; g < 8; ++g) {
    const auto [scale, minimum] = gguf_scale_and_minimum(block + 4, static_cast<int64_t>(g));
    set_scale(groups[g], f16_from_float(d * static_cast<float>(scale)));
    groups[g].minimum = f16_from_float(-dmin * static_cast<float>(minimum));
    const uint8_t* qs = nibbles + g / 2 * 32;
    for (std::size_t i = 0; i < 8; ++i) {
      uint32_t word = (word_at(qs + 4 * i) >> (g % 2 * 4)) & kLowNibbles;
      if (high != nullptr) word |= (word_at(high + 4 * i) >> g & in_each_byte(1)) << 4;
      set_word(groups[g], i, word);
    }
  }
}

constexpr std::size_t kScaleBytes = 12;

void read_q4_k(const uint8_t* block, PackedGroup* groups) {
  read_k(block, nullptr, block + 4 + kScaleBytes, groups);
}

void read_q5_k(const uint8_t* block, PackedGroup* groups) {
  read_k(block, block + 4 + kScaleBytes, block + 4 + kScaleBytes + 32, groups);
}

void read_q6_k(const uint8_t* block, PackedGroup* groups) {
  const uint8_t* scales = block + 128 + 64;
  const float d = float_from_f16(half_bits_at(scales + 16));
  for (std::size_t g = 0; g < 8; ++g) {
    const std::size_t quarter = g % 4;
    const uint8_t* low = block + g / 4 * 64 + quarter % 2 * 32;
    const uint8_t* high = block + 128 + g / 4 * 32;
    for (std::size_t half = 0; half < 2; ++half) {
      const auto scale = static_cast<int8_t>(scales[2 * g + half]);
      groups[g].scales[half] = f16_from_float(d * static_cast<float>(scale));
    }
    for (std::size_t i = 0; i < 8; ++i) {
      const uint32_t four = (word_at(low + 4 * i) >> (quarter / 2 * 4)) & kLowNibbles;
      const uint32_t two = (word_at(high + 4 * i) >> (2 * quarter)) & in_each_byte(3);
      set_word(groups[g], i, (four | two << 4) + in_each_byte(128 - 32));
    }
  }
}

struct Repacking {
  GgufType type;
  DType form;
  void (*read)(const uint8_t* block, PackedGroup* groups);
};

constexpr std::array<Repacking, 8> kRepackings = {{
    {GgufType::kQ4_0, DType::kPackedQ4, read_q4_0},
    {GgufType::kQ4_1, DType::kPackedQ4Min, read_q4_1},
    {GgufType::kQ5_0, DType::kPackedQ8, read_q5_0},
    {GgufType::kQ5_1, DType::kPackedQ8Min, read_q5_1},
    {GgufType::kQ8_0, DType::kPackedQ8, read_q8_0},
    {GgufType::kQ4_K, DType::kPackedQ4Min, read_q4_k},
    {GgufType::kQ5_K, DType::kPackedQ8Min, read_q5_k},
    {GgufType::kQ6_K, DType::kPackedQ8Half, read_q6_k},
}};

const Repacking* find_repacking(GgufType type) {
  const auto* it = std::ranges::find(kRepackings, type, &Repacking::type);
  return it == kRepackings.end() ? nullptr : &*it;
}

}  // namespace

std::optional<DType> repacked_form(GgufType type) noexcept {
  const Repacking* repacking = find_repacking(type);
  return repacking != nullptr ? std::optional(repacking->form) : std::nullopt;
}

Tensor repack_gguf(ThreadPool& pool, GgufType type, std::span<const std::byte> blocks, Shape shape,
                   std::span<const int64_t> source_rows) {
  const Repacking* repacking = find_repacking(type);
  const GgufTypeInfo* info = find_gguf_type(static_cast<uint32_t>(type));
  LLAVA_CHECK(repacking != nullptr && info != nullptr);
  Tensor packed = Tensor::empty(std::move(shape), repacking->form);
  const PackedLayout layout(packed.dtype(), packed.shape());
  const int64_t blocks_per_row = layout.num_inputs() / info->block_elements;
  const int64_t row_bytes = blocks_per_row * info->block_bytes;
  LLAVA_CHECK(blocks_per_row * info->block_elements == layout.num_inputs() &&
              static_cast<int64_t>(blocks.size()) == layout.num_outputs() * row_bytes);
  LLAVA_CHECK(source_rows.empty() ||
              static_cast<int64_t>(source_rows.size()) == layout.num_outputs());
  for (const int64_t row : source_rows) LLAVA_CHECK(row >= 0 && row < layout.num_outputs());
  const auto* source = reinterpret_cast<const uint8_t*>(blocks.data());
  std::byte* matrix = packed.mutable_bytes().data();
  const int64_t groups_per_block = info->block_elements / kPackedGroup;

  pool.run(layout.num_panels(), [&](int64_t panel) {
    std::memset(matrix + panel * layout.panel_bytes(), 0,
                static_cast<std::size_t>(layout.panel_bytes()));
    const int64_t begin = panel * kPackedPanel;
    const int64_t end = std::min(layout.num_outputs(), begin + kPackedPanel);
    std::array<PackedGroup, kMaxGroups> groups{};
    for (int64_t block = 0; block < blocks_per_row; ++block) {
      for (int64_t output = begin; output < end; ++output) {
        const int64_t row =
            source_rows.empty() ? output : source_rows[static_cast<std::size_t>(output)];
        repacking->read(source + row * row_bytes + block * info->block_bytes, groups.data());
        for (int64_t g = 0; g < groups_per_block; ++g) {
          layout.write(matrix, output, block * groups_per_block + g,
                       groups[static_cast<std::size_t>(g)]);
        }
      }
    }
  });
  return packed;
}

}  // namespace llava::checkpoint
