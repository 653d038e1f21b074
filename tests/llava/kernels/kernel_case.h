// SPDX-License-Identifier: Apache-2.0
//
// What a kernel test is made of: a vector table and an element format to run on, arguments at
// awkward addresses, and comparison with the scalar table.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "llava/core/random.h"
#include "llava/kernels/dispatch.h"

namespace llava::kernels {

/// Half a unit in the last place of float32 at 1.
inline constexpr double kFloatRoundoff = 0x1.0p-24;

/// An array in a format, `misalignment` elements past an aligned address, with nothing readable
/// after it (address sanitizer) and guard elements that a kernel must not write before and after.
class Array {
 public:
  Array(Format format, std::vector<float> values, int64_t misalignment = 0);
  /// Unset elements.
  Array(Format format, int64_t count, int64_t misalignment = 0);

  const void* data() const { return bytes_.data() + begin_; }
  void* data() { return bytes_.data() + begin_; }
  int64_t size() const { return count_; }
  std::vector<float> values() const;
  /// True when the bytes before the array are as they were.
  bool is_guard_intact() const;

 private:
  Format format_;
  int64_t count_;
  std::size_t begin_;
  std::vector<uint8_t> bytes_;
};

int64_t format_size(Format format);
/// Half a unit of the format, relative.
double roundoff(Format format);
/// `value` as the format holds it.
float rounded(Format format, float value);

struct Setting {
  const KernelTable* table;
  Format format;
};
std::string setting_text(const Setting& setting);
void PrintTo(const Setting& setting, std::ostream* out);
std::string setting_name(const testing::TestParamInfo<Setting>& info);
/// Every vector table of this processor in every format.
std::vector<Setting> vector_settings();

/// A case that runs on each vector table in each format.
class KernelCase : public testing::TestWithParam<Setting> {
 protected:
  const KernelTable& table() const { return *GetParam().table; }
  const KernelTable& scalar() const { return *available().front(); }
  Format format() const { return GetParam().format; }
  /// Uniform in [-scale, scale], rounded to the format.
  std::vector<float> random(int64_t count, float scale = 1.0f);
  Array random_array(int64_t count, float scale = 1.0f, int64_t misalignment = 0) {
    return Array(format(), random(count, scale), misalignment);
  }

  Generator generator_{11};
};

/// Every element of `got` within its bound and one rounding of the format of `expected`.
void expect_near(const Array& got, const Array& expected, const std::vector<double>& bounds,
                 Format format);

}  // namespace llava::kernels
