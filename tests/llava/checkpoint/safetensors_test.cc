// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <fstream>

#include "llava/checkpoint/expect_error.h"
#include "llava/core/file.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using llava::testing::expect_error;

// A container in memory: 8 bytes of length, the header, `data` bytes of zeros.
std::shared_ptr<const SafetensorsFile> parse(std::string_view header, std::size_t data) {
  const auto owner = std::make_shared<std::string>();
  const uint64_t size = header.size();
  owner->append(reinterpret_cast<const char*>(&size), sizeof(size));
  owner->append(header);
  owner->append(data, '\0');
  return std::make_shared<const SafetensorsFile>(
      FileBytes{"mem.safetensors", std::as_bytes(std::span(*owner)), owner});
}

TEST(Safetensors, WritesAndReadsEveryType) {
  const fs::path path = fs::path(::testing::TempDir()) / "types.safetensors";
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const DType dtype :
       {DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kFloat64, DType::kInt64,
        DType::kInt32, DType::kInt16, DType::kInt8, DType::kUInt8, DType::kBool}) {
    Tensor tensor = Tensor::zeros({3, 5}, dtype);
    auto bytes = tensor.mutable_bytes();
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i % 2);
    tensors.emplace_back(std::string(dtype_name(dtype)), tensor);
  }
  tensors.emplace_back("empty", Tensor::zeros({0, 7}, DType::kFloat32));
  tensors.emplace_back("scalar", Tensor::zeros({}, DType::kFloat32));
  write_safetensors(path, tensors, {{"format", "pt"}});

  const auto file = SafetensorsFile::open(path);
  EXPECT_EQ(file->metadata().at("format"), "pt");
  ASSERT_EQ(file->tensors().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const Tensor loaded = file->load(name);
    EXPECT_EQ(loaded.dtype(), tensor.dtype()) << name;
    EXPECT_EQ(loaded.shape(), tensor.shape()) << name;
    EXPECT_TRUE(std::equal(loaded.bytes().begin(), loaded.bytes().end(), tensor.bytes().begin(),
                           tensor.bytes().end()))
        << name;
  }
  expect_error(ErrorCode::kNotFound, {"types.safetensors", "nope"}, [&] { file->load("nope"); });
}

TEST(Safetensors, ViewsTheMappingAndCopiesMisalignedData) {
  const auto aligned = parse(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  )", 8);
  const auto shifted = parse(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   )", 8);
  EXPECT_EQ(aligned->load("a").numel(), 2);
  EXPECT_EQ(shifted->load("a").numel(), 2);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(shifted->load("a").bytes().data()) % 4, 0u);
}

TEST(Safetensors, RefusesDamagedFiles) {
  struct Case {
    const char* header;
    std::size_t data;
    ErrorCode code;
    const char* word;
  };
  const ErrorCode bad = ErrorCode::kBadFormat;
  const std::vector<Case> cases = {
      {"[]", 0, bad, "does not begin with"},
      {"{", 0, bad, "not valid JSON"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       8, bad, "occurs twice"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, bad, "8 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 2, bad, "data section of 2"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8, bad, "has 8 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, bad, "leave a hole"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
       6, bad, "overlap"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, bad, "impossible shape"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,4]}})",
       4, bad, "impossible shape"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, bad, "[4, 0)"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, bad, "data_offsets"},
      {R"({"a":{"dtype":"F32","shape":"x","data_offsets":[0,4]}})", 4, bad, "shape"},
      {R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, bad, "dtype"},
      {R"({"a":7})", 4, bad, "object"},
      {R"({"__metadata__":{"k":1}})", 0, bad, "__metadata__"},
      {R"({"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}})", 4, ErrorCode::kUnsupported,
       "F8_E4M3"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.header);
    expect_error(c.code, {"mem.safetensors", c.word}, [&] { parse(c.header, c.data); });
  }
}

TEST(Safetensors, RefusesABadHeaderLength) {
  const auto open = [](std::string content) {
    const auto owner = std::make_shared<std::string>(std::move(content));
    SafetensorsFile file({"mem.safetensors", std::as_bytes(std::span(*owner)), owner});
  };
  expect_error(ErrorCode::kBadFormat, {"byte 0", "needs 8 bytes"}, [&] { open("abc"); });
  expect_error(ErrorCode::kBadFormat, {"header length"},
               [&] { open(std::string("\xff\xff\xff\xff\0\0\0\0{}", 10)); });
  expect_error(ErrorCode::kBadFormat, {"header length"},
               [&] { open(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10)); });
}

TEST(Safetensors, ListsButDoesNotLoadWideUnsignedTypes) {
  const auto file = parse(R"({"a":{"dtype":"U32","shape":[1],"data_offsets":[0,4]}})", 4);
  EXPECT_EQ(file->tensors().at("a").stored_as, "U32");
  expect_error(ErrorCode::kUnsupported, {"'a'", "U32"}, [&] { file->load("a"); });
}

TEST(Safetensors, WriterRefusesNamesGivenTwice) {
  const Tensor x = Tensor::zeros({1}, DType::kFloat32);
  const fs::path path = fs::path(::testing::TempDir()) / "twice.safetensors";
  expect_error(ErrorCode::kInvalidArgument, {"'a'"}, [&] {
    write_safetensors(path, {{"a", x}, {"a", x}});
  });
  expect_error(ErrorCode::kNotFound, {"no-such-folder"}, [&] {
    write_safetensors("no-such-folder/x.safetensors", {{"a", x}});
  });
}

}  // namespace
}  // namespace llava::checkpoint
