// SPDX-License-Identifier: Apache-2.0
#include "llava/kernels/packed_case.h"

#include <bit>
#include <cstring>

#include "llava/core/float_formats.h"

namespace llava::kernels {
namespace {

std::size_t index(int64_t i) { return static_cast<std::size_t>(i); }

/// A number that float16 holds, of either sign.
double random_half(Generator& generator, uint16_t* bits) {
  const uint64_t kind = generator.below(40);
  float value = (static_cast<float>(generator.uniform()) - 0.3f) * 0.01f;
  if (kind == 0) value = 0.0f;
  if (kind == 1) value = 3e-7f;
  *bits = f16_from_float(value);
  return float_from_f16(*bits);
}

}  // namespace

std::string packed_name(Packed form) {
  switch (form) {
    case kPackedQ4:
      return "q4";
    case kPackedQ4Min:
      return "q4_min";
    case kPackedQ8:
      return "q8";
    case kPackedQ8Min:
      return "q8_min";
    default:
      return "q8_half";
  }
}

AlignedBytes::AlignedBytes(std::size_t count)
    : size_(count), bytes_(new(std::align_val_t{64}) std::byte[count]) {
  std::memset(bytes_.get(), 0, count);
}

PackedMatrix::PackedMatrix(Packed form, int64_t outputs, int64_t inputs, Generator& generator)
    : outputs_(outputs),
      inputs_(inputs),
      weights_(index(outputs * inputs)),
      bytes_(index((outputs + 15) / 16 * packed_panel_bytes(form, inputs))) {
  const bool has_nibbles = form == kPackedQ4 || form == kPackedQ4Min;
  const bool has_minimum = form == kPackedQ4Min || form == kPackedQ8Min;
  const int zero = has_minimum ? 0 : has_nibbles ? 8 : 128;
  const int64_t scales = form == kPackedQ8Half ? 2 : 1;
  const int64_t groups = (inputs + 31) / 32;
  const int64_t code_bytes = has_nibbles ? 256 : 512;
  for (int64_t o = 0; o < outputs; ++o) {
    std::byte* codes = bytes_.data() + o / 16 * packed_panel_bytes(form, inputs);
    std::byte* scale_plane = codes + groups * code_bytes;
    std::byte* minimum_plane = scale_plane + groups * scales * 32;
    const int64_t row = o % 16;
    // One row in eight has only the outermost codes: the sums are then as large as they can be.
    const bool is_extreme = generator.below(8) == 0;
    for (int64_t group = 0; group < groups; ++group) {
      double minimum = 0;
      uint16_t half = 0;
      if (has_minimum) {
        minimum = random_half(generator, &half);
        std::memcpy(minimum_plane + (group * 16 + row) * 2, &half, 2);
      }
      for (int64_t part = 0; part < scales; ++part) {
        const double scale = random_half(generator, &half);
        std::memcpy(scale_plane + ((group * scales + part) * 16 + row) * 2, &half, 2);
        for (int64_t i = part * 32 / scales; i < (part + 1) * 32 / scales; ++i) {
          const int64_t input = group * 32 + i;
          const int most = has_nibbles ? 15 : 255;
          int code = static_cast<int>(generator.below(static_cast<uint64_t>(most) + 1));
          if (is_extreme) code = generator.below(9) == 0 ? 0 : most;
          // Padding: what a zero weight is.
          if (input >= inputs) code = zero;
          std::byte* group_codes = codes + group * code_bytes;
          if (has_nibbles) {
            std::byte& byte = group_codes[i / 8 * 64 + row * 4 + i % 4];
            byte |= static_cast<std::byte>(i % 8 < 4 ? code : code << 4);
          } else {
            group_codes[i / 4 * 64 + row * 4 + i % 4] = static_cast<std::byte>(code);
          }
          if (input < inputs) {
            weights_[index(o * inputs + input)] = scale * (code - zero) + minimum;
          }
        }
      }
    }
  }
}

double PackedMatrix::weight(int64_t output, int64_t input) const {
  return weights_[index(output * inputs_ + input)];
}

AlignedBytes quantized(const KernelTable& table, Packed form, const float* x, int64_t rows,
                       int64_t inputs) {
  AlignedBytes out(packed_activation_bytes(rows, inputs));
  // Whatever was there before must not matter.
  std::memset(out.data(), 0x5A, out.size());
  QuantizeActivationsArgs args{.x = x,
                               .x_stride = inputs,
                               .num_inputs = inputs,
                               .row_begin = 0,
                               .row_end = rows / 2,
                               .out = reinterpret_cast<PackedActivations*>(out.data())};
  table.packed[form].quantize(args);
  args.row_begin = args.row_end;
  args.row_end = rows;
  table.packed[form].quantize(args);
  return out;
}

std::vector<float> packed_product(const KernelTable& table, Packed form, const PackedMatrix& matrix,
                                  const AlignedBytes& x, int64_t rows, const float* bias,
                                  int64_t begin, int64_t end) {
  const AlignedBytes scratch(kPackedScratchBytes);
  std::memset(scratch.data(), 0x7F, scratch.size());
  std::vector<float> out(index(rows * matrix.outputs()), 7.0f);
  table.packed[form].linear({.x = as_activations(x),
                             .num_rows = rows,
                             .weight = matrix.data(),
                             .num_inputs = matrix.inputs(),
                             .bias = bias,
                             .output_begin = begin,
                             .output_end = end,
                             .out = out.data(),
                             .out_stride = matrix.outputs(),
                             .scratch = scratch.data()});
  return out;
}

std::vector<uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

std::vector<float> random_activations(int64_t count, Generator& generator) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(2 * generator.uniform() - 1);
    values.push_back(generator.below(64) == 0 ? 20 * value : value);
  }
  return values;
}

}  // namespace llava::kernels
