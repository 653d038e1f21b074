// SPDX-License-Identifier: Apache-2.0
#include "llava/tensor/tensor.h"

#include <gtest/gtest.h>

#include <array>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <memory>
#include <string>

#include "llava/core/error.h"

namespace llava {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kHasSanitizer = true;
#elif defined(__has_feature)
constexpr bool kHasSanitizer = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kHasSanitizer = false;
#endif

template <class Action>
void expect_error(const Action& action, ErrorCode code) {
  try {
    action();
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
  }
}

Tensor counted(Shape shape) {
  Tensor x = Tensor::empty(std::move(shape), DType::kFloat32);
  float next = 0;
  for (float& value : x.mutable_data<float>()) value = next++;
  return x;
}

TEST(TensorTest, UndefinedIsNoTensor) {
  const Tensor x;
  EXPECT_FALSE(x.is_defined());
  EXPECT_EQ(x.numel(), 0);
  EXPECT_EQ(x.device(), Device{});
  expect_error([&] { static_cast<void>(x.bytes()); }, ErrorCode::kInternal);
}

TEST(TensorTest, KnowsItsDimensions) {
  const Tensor x = Tensor::zeros({2, 3, 4}, DType::kFloat16);
  EXPECT_EQ(x.rank(), 3);
  EXPECT_EQ(x.numel(), 24);
  EXPECT_EQ(x.num_bytes(), 48);
  EXPECT_EQ(x.dim(0), 2);
  EXPECT_EQ(x.dim(-1), 4);
  EXPECT_EQ(x.dim(-3), 2);
  expect_error([&] { x.dim(3); }, ErrorCode::kInternal);
  expect_error([&] { x.dim(-4); }, ErrorCode::kInternal);
  EXPECT_EQ(to_text(x.shape()), "[2, 3, 4]");
  EXPECT_EQ(to_text(Shape{}), "[]");
}

TEST(TensorTest, OwnedMemoryIsAligned) {
  for (const int64_t size : {0, 1, 63, 64, 1000}) {
    Tensor x = Tensor::empty({size}, DType::kUInt8);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(x.bytes().data()) % 64, 0u);
    EXPECT_EQ(x.bytes().size(), static_cast<std::size_t>(size));
  }
}

TEST(TensorTest, ZerosAndValues) {
  const Tensor zeros = Tensor::zeros({3}, DType::kInt64);
  for (const int64_t value : zeros.data<int64_t>()) EXPECT_EQ(value, 0);
  const std::array<float, 4> values{1, 2, 3, 4};
  const Tensor x = Tensor::from_floats({2, 2}, values);
  EXPECT_EQ(x.data<float>()[3], 4.0f);
  EXPECT_EQ(Tensor::from_floats({0, 5}, {}).numel(), 0);
  expect_error([&] { Tensor::from_floats({3}, values); }, ErrorCode::kInternal);
}

TEST(TensorTest, ScalarHasOneElement) {
  const Tensor x = Tensor::zeros({}, DType::kFloat32);
  EXPECT_EQ(x.rank(), 0);
  EXPECT_EQ(x.numel(), 1);
}

TEST(TensorTest, ImpossibleShapesAreRefused) {
  expect_error([] { Tensor::empty({-1}, DType::kFloat32); }, ErrorCode::kInternal);
  expect_error([] { Tensor::empty({INT64_MAX, 2}, DType::kFloat32); }, ErrorCode::kInternal);
  // The count fits, the bytes do not.
  expect_error([] { Tensor::empty({int64_t{1} << 62}, DType::kFloat32); }, ErrorCode::kInternal);
}

TEST(TensorTest, NoMemoryIsResourceExhausted) {
  if (kHasSanitizer) GTEST_SKIP() << "the sanitizer ends the program instead";
  expect_error([] { Tensor::empty({int64_t{1} << 60}, DType::kUInt8); },
               ErrorCode::kResourceExhausted);
}

TEST(TensorTest, ReshapeSharesMemory) {
  Tensor x = counted({2, 6});
  const Tensor y = x.reshape({3, -1});
  EXPECT_EQ(y.shape(), (Shape{3, 4}));
  x.mutable_data<float>()[5] = 99;
  EXPECT_EQ(y.data<float>()[5], 99.0f);
  EXPECT_EQ(x.reshape({12}).reshape({2, 3, 2}).shape(), (Shape{2, 3, 2}));
  EXPECT_EQ(Tensor::zeros({0, 4}, DType::kFloat32).reshape({-1, 4}).shape(), (Shape{0, 4}));
  expect_error([&] { x.reshape({5}); }, ErrorCode::kInternal);
  expect_error([&] { x.reshape({5, -1}); }, ErrorCode::kInternal);
  expect_error([&] { x.reshape({-1, -1}); }, ErrorCode::kInternal);
}

TEST(TensorTest, RowsAreViews) {
  Tensor x = counted({4, 3});
  Tensor y = x.rows(1, 3);
  EXPECT_EQ(y.shape(), (Shape{2, 3}));
  EXPECT_EQ(y.data<float>()[0], 3.0f);
  EXPECT_EQ(y.rows(1, 2).data<float>()[0], 6.0f);
  y.mutable_data<float>()[0] = -1;
  EXPECT_EQ(x.data<float>()[3], -1.0f);
  EXPECT_EQ(x.rows(2, 2).numel(), 0);
  EXPECT_EQ(x.rows(4, 4).numel(), 0);
  EXPECT_EQ(y.offset(), 3);
  for (const auto& [begin, end] : {std::pair{-1, 2}, std::pair{2, 1}, std::pair{0, 5}}) {
    expect_error([&, b = begin, e = end] { x.rows(b, e); }, ErrorCode::kInternal);
  }
  expect_error([] { Tensor::zeros({}, DType::kFloat32).rows(0, 0); }, ErrorCode::kInternal);
}

TEST(TensorTest, ViewsKeepTheirOwnerAlive) {
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4});
  const std::weak_ptr<std::vector<float>> watch = owner;
  Tensor row;
  {
    const Tensor whole =
        Tensor::view_of(owner, std::as_bytes(std::span(*owner)), {2, 2}, DType::kFloat32);
    EXPECT_EQ(whole.data<float>().data(), owner->data());
    row = whole.rows(1, 2);
    owner.reset();
  }
  EXPECT_EQ(row.data<float>()[1], 4.0f);
  row = Tensor();
  EXPECT_TRUE(watch.expired());
}

TEST(TensorTest, ViewsStayInsideTheirBytes) {
  const auto owner = std::make_shared<std::array<std::byte, 16>>();
  const std::span<const std::byte> bytes(*owner);
  EXPECT_EQ(Tensor::view_of(owner, bytes, {4}, DType::kFloat32).numel(), 4);
  // Sizes whose bytes overflow to zero or below are refused like any other that does not fit.
  for (const Shape& shape : {Shape{5}, Shape{2, 3}, Shape{-1}, Shape{int64_t{1} << 62},
                             Shape{int64_t{1} << 61}, Shape{INT64_MAX}, Shape{1 << 31, 1 << 30}}) {
    expect_error([&] { Tensor::view_of(owner, bytes, shape, DType::kFloat32); },
                 ErrorCode::kInternal);
  }
  const auto storage = Tensor::view_of(owner, bytes, {4}, DType::kFloat32).storage();
  EXPECT_EQ(Tensor(storage, DType::kFloat32, {2}, 2).offset(), 2);
  for (const int64_t offset : {int64_t{-1}, int64_t{3}, INT64_MAX, INT64_MAX / 4}) {
    expect_error([&] { Tensor(storage, DType::kFloat32, {2}, offset); }, ErrorCode::kInternal);
  }
  expect_error([] { Tensor(nullptr, DType::kFloat32, {1}); }, ErrorCode::kInternal);
}

TEST(TensorTest, ElementsOfAnotherSizeAreRefused) {
  Tensor x = Tensor::zeros({2}, DType::kFloat32);
  expect_error([&] { static_cast<void>(x.data<uint16_t>()); }, ErrorCode::kInternal);
  expect_error([&] { static_cast<void>(x.mutable_data<double>()); }, ErrorCode::kInternal);
}

class DeviceStorage final : public Storage {
 public:
  Device device() const noexcept override { return {DeviceType::kCuda, 1}; }
  std::byte* host_data() noexcept override { return nullptr; }
  int64_t num_bytes() const noexcept override { return 64; }
};

TEST(TensorTest, DeviceMemoryIsNotReadable) {
  const Tensor x(std::make_shared<DeviceStorage>(), DType::kFloat32, {4, 4});
  EXPECT_EQ(x.device(), (Device{DeviceType::kCuda, 1}));
  expect_error([&] { static_cast<void>(x.rows(1, 2).data<float>()); }, ErrorCode::kInternal);
}

TEST(TensorTest, CastRoundsAndKeepsShape) {
  const std::array<float, 6> values{1.0f,  1.0009765f, 65520.0f,
                                    -0.0f, 6e-8f,      std::numeric_limits<float>::quiet_NaN()};
  const Tensor x = Tensor::from_floats({2, 3}, values);
  const Tensor half = host_cast(x, DType::kFloat16);
  EXPECT_EQ(half.shape(), x.shape());
  EXPECT_EQ(half.data<uint16_t>()[0], 0x3C00);
  EXPECT_EQ(half.data<uint16_t>()[1], 0x3C01);
  EXPECT_EQ(half.data<uint16_t>()[2], 0x7C00);
  EXPECT_EQ(half.data<uint16_t>()[3], 0x8000);
  EXPECT_EQ(half.data<uint16_t>()[4], 0x0001);
  EXPECT_TRUE(std::isnan(host_to_float32(half).data<float>()[5]));

  // Between the two 16-bit formats through float32, where the first conversion is exact.
  EXPECT_EQ(host_cast(half, DType::kBFloat16).data<uint16_t>()[1], 0x3F80);
  EXPECT_EQ(host_cast(x, DType::kFloat64).data<double>()[1], static_cast<double>(values[1]));
}

TEST(TensorTest, LargeOnesAskForLargePages) {
  if (!std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled")) {
    GTEST_SKIP() << "the system has no transparent large pages";
  }
  const Tensor x = Tensor::empty({16, 1 << 20}, DType::kFloat32);
  const auto middle = reinterpret_cast<uintptr_t>(x.rows(8, 9).bytes().data());
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool is_inside = false;
  while (std::getline(maps, line)) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2) {
      is_inside = begin <= middle && middle < end;
    }
    if (!is_inside || !line.starts_with("VmFlags:")) continue;
    EXPECT_NE(line.find(" hg"), std::string::npos) << line;
    return;
  }
  GTEST_SKIP() << "the system does not describe its mappings";
}

TEST(TensorTest, CastToTheSameTypeSharesMemory) {
  const Tensor x = counted({3});
  EXPECT_EQ(host_cast(x, DType::kFloat32).storage(), x.storage());
  EXPECT_EQ(host_to_float32(x).storage(), x.storage());
}

TEST(TensorTest, CastReadsAView) {
  const Tensor x = host_cast(counted({4, 2}), DType::kBFloat16).rows(2, 4);
  EXPECT_EQ(host_to_float32(x).data<float>()[0], 4.0f);
}

TEST(TensorTest, IntegersAreNotCast) {
  const Tensor x = Tensor::zeros({2}, DType::kInt64);
  expect_error([&] { host_cast(x, DType::kFloat32); }, ErrorCode::kUnsupported);
  expect_error([&] { host_cast(Tensor::zeros({2}, DType::kFloat32), DType::kInt8); },
               ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace llava
