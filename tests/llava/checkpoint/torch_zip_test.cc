// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/torch_zip.h"

#include <gtest/gtest.h>

#include "llava/checkpoint/expect_error.h"
#include "llava/checkpoint/sharded.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "support/paths.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using llava::testing::expect_error;

fs::path data(const char* folder) { return test_data() / "checkpoint" / folder; }

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) text += fmt::format("{:02x}", std::to_integer<int>(byte));
  return text;
}

std::shared_ptr<const TorchZipFile> parse(std::string content) {
  const auto owner = std::make_shared<std::string>(std::move(content));
  return std::make_shared<const TorchZipFile>(
      FileBytes{"mem.bin", std::as_bytes(std::span(*owner)), owner});
}

TEST(TorchZip, ReadsWhatTorchSaved) {
  const Json expected = read_json_file(data("torch") / "expected.json");
  ASSERT_GE(expected.size(), 9u);
  for (const auto& [file, tensors] : expected.items()) {
    SCOPED_TRACE(file);
    const auto source = open_tensor_file(data("torch") / file);
    EXPECT_EQ(source->tensors().size(), tensors.size());
    for (const auto& [name, description] : tensors.items()) {
      SCOPED_TRACE(name);
      const Tensor tensor = source->load(name);
      EXPECT_EQ(dtype_name(tensor.dtype()), description["dtype"].get<std::string>());
      EXPECT_EQ(tensor.shape(), description["shape"].get<Shape>());
      EXPECT_EQ(hex(tensor.bytes()), description["hex"].get<std::string>());
      const TensorInfo& info = source->tensors().at(name);
      EXPECT_EQ(info.shape, tensor.shape());
      EXPECT_EQ(info.stored_bytes, tensor.num_bytes());
      EXPECT_EQ(info.file, (data("torch") / file).string());
    }
  }
}

TEST(TorchZip, SharedStoragesAreViewsOfOneMapping) {
  const auto file = TorchZipFile::open(data("torch") / "views.bin");
  EXPECT_EQ(file->load("whole").bytes().data(), file->load("tied").bytes().data());
  EXPECT_EQ(file->load("tail").bytes().data(), file->load("whole").bytes().data() + 80);
}

TEST(TorchZip, RefusesHostileFiles) {
  const Json expected = read_json_file(data("hostile") / "expected.json");
  ASSERT_GE(expected.size(), 40u);
  for (const auto& [file, rule] : expected.items()) {
    SCOPED_TRACE(file);
    std::string found = "none";
    std::string message;
    try {
      open_tensor_file(data("hostile") / file);
    } catch (const Error& e) {
      found = error_code_name(e.code());
      message = e.what();
      EXPECT_NE(message.find(file), std::string::npos) << message;
      for (const Json& word : rule["words"]) {
        EXPECT_NE(message.find(word.get<std::string>()), std::string::npos) << message;
      }
    }
    EXPECT_EQ(found, rule["code"].get<std::string>()) << message;
  }
}

TEST(TorchZip, EveryTruncationIsRefused) {
  for (const char* name : {"views.bin", "zip64.bin"}) {
    const std::string whole = read_file(data("torch") / name, 1u << 20);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      EXPECT_THROW(parse(whole.substr(0, size)), Error) << name << " cut at " << size;
    }
  }
}

TEST(TorchZip, EveryFlippedByteIsRefusedOrHarmless) {
  for (const char* name : {"views.bin", "zip64.bin", "wrapped_model.bin"}) {
    const std::string whole = read_file(data("torch") / name, 1u << 20);
    for (std::size_t at = 0; at < whole.size(); ++at) {
      for (const int mask : {0x01, 0x80, 0xff}) {
        std::string changed = whole;
        changed[at] = static_cast<char>(changed[at] ^ mask);
        try {
          const auto file = parse(std::move(changed));
          for (const auto& [key, info] : file->tensors()) file->load(key);
        } catch (const Error&) {
        }
      }
    }
  }
}

TEST(TorchZip, NamesAMissingTensor) {
  const auto file = TorchZipFile::open(data("torch") / "parameter.bin");
  expect_error(ErrorCode::kNotFound, {"parameter.bin", "'q'"}, [&] { file->load("q"); });
}

}  // namespace
}  // namespace llava::checkpoint
