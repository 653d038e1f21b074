// SPDX-License-Identifier: Apache-2.0
#include "llava/kernels/kernel_case.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <ostream>

#include "llava/core/float_formats.h"

namespace llava::kernels {
namespace {

constexpr uint8_t kGuard = 0xA5;

}  // namespace

int64_t format_size(Format format) { return format == kFormatF32 ? 4 : 2; }

double roundoff(Format format) {
  return format == kFormatF32 ? 0x1.0p-24 : format == kFormatF16 ? 0x1.0p-11 : 0x1.0p-8;
}

float rounded(Format format, float value) {
  if (format == kFormatF16) return float_from_f16(f16_from_float(value));
  if (format == kFormatBF16) return float_from_bf16(bf16_from_float(value));
  return value;
}

Array::Array(Format format, int64_t count, int64_t misalignment)
    : format_(format),
      count_(count),
      begin_(static_cast<std::size_t>((8 + misalignment) * format_size(format))),
      bytes_(begin_ + static_cast<std::size_t>(count * format_size(format)), kGuard) {
  bytes_.shrink_to_fit();
}

Array::Array(Format format, std::vector<float> values, int64_t misalignment)
    : Array(format, static_cast<int64_t>(values.size()), misalignment) {
  uint8_t* out = bytes_.data() + begin_;
  for (const float value : values) {
    if (format == kFormatF32) {
      std::memcpy(out, &value, 4);
    } else {
      const uint16_t bits = format == kFormatF16 ? f16_from_float(value) : bf16_from_float(value);
      std::memcpy(out, &bits, 2);
    }
    out += format_size(format);
  }
}

std::vector<float> Array::values() const {
  std::vector<float> values;
  const uint8_t* in = bytes_.data() + begin_;
  for (int64_t i = 0; i < count_; ++i, in += format_size(format_)) {
    float value = 0;
    uint16_t bits = 0;
    if (format_ == kFormatF32) {
      std::memcpy(&value, in, 4);
    } else {
      std::memcpy(&bits, in, 2);
      value = format_ == kFormatF16 ? float_from_f16(bits) : float_from_bf16(bits);
    }
    values.push_back(value);
  }
  return values;
}

bool Array::is_guard_intact() const {
  return std::all_of(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(begin_),
                     [](uint8_t byte) { return byte == kGuard; });
}

std::string setting_text(const Setting& setting) {
  constexpr std::array<const char*, 3> kNames = {"f32", "f16", "bf16"};
  return std::string(setting.table->name) + "_" + kNames[static_cast<std::size_t>(setting.format)];
}

void PrintTo(const Setting& setting, std::ostream* out) { *out << setting_text(setting); }

std::string setting_name(const testing::TestParamInfo<Setting>& info) {
  return setting_text(info.param);
}

std::vector<Setting> vector_settings() {
  std::vector<Setting> settings;
  for (const KernelTable* table : available().subspan(1)) {
    for (const Format format : {kFormatF32, kFormatF16, kFormatBF16}) {
      settings.push_back({table, format});
    }
  }
  return settings;
}

std::vector<float> KernelCase::random(int64_t count, float scale) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    const double unit = 2 * generator_.uniform() - 1;
    values.push_back(rounded(format(), static_cast<float>(unit) * scale));
  }
  return values;
}

void expect_near(const Array& got, const Array& expected, const std::vector<double>& bounds,
                 Format format) {
  EXPECT_TRUE(got.is_guard_intact());
  const std::vector<float> a = got.values();
  const std::vector<float> b = expected.values();
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double one_rounding =
        2 * roundoff(format) * std::max(std::fabs(static_cast<double>(b[i])), 0x1.0p-14);
    ASSERT_NEAR(a[i], b[i], bounds[i] + one_rounding) << "element " << i << " of " << a.size();
  }
}

}  // namespace llava::kernels
