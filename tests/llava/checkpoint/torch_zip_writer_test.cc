// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/torch_zip_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "llava/checkpoint/expect_error.h"
#include "llava/checkpoint/torch_zip.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "support/paths.h"
#include "support/temporary_folder.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using llava::testing::expect_error;
using Tensors = std::vector<std::pair<std::string, Tensor>>;

class TorchZipWriter : public testing::TemporaryFolder {};

fs::path saved(const std::string& file) {
  return test_data() / "checkpoint" / "torch_written" / file;
}

// Digits and checksums of the serialization id are another hash than torch's.
std::string without_id(std::string bytes) {
  constexpr std::string_view kName = ".data/serialization_id";
  constexpr std::size_t kDigits = 40, kDescriptorHead = 8, kChecksum = 4;
  const std::size_t local = bytes.find(kName);
  const std::size_t central = bytes.rfind(kName);
  if (local == std::string::npos || local == central) return "no id: " + bytes;
  const std::size_t payload = (local + kName.size() + 63) / 64 * 64;
  bytes.replace(payload, kDigits, kDigits, '#');
  bytes.replace(payload + kDigits + kDescriptorHead - kChecksum, kChecksum, kChecksum, '#');
  // The directory's name begins with the archive's folder.
  const std::size_t header = bytes.rfind("PK\x01\x02", central);
  bytes.replace(header + 16, kChecksum, kChecksum, '#');
  return bytes;
}

TEST_F(TorchZipWriter, WritesTheBytesOfTorchSave) {
  const Json order = read_json_file(saved("order.json"));
  ASSERT_EQ(order.size(), 4u);
  for (const auto& [file, names] : order.items()) {
    SCOPED_TRACE(file);
    const auto source = TorchZipFile::open(saved(file));
    Tensors tensors;
    for (const Json& name : names) {
      tensors.emplace_back(name.get<std::string>(), source->load(name.get<std::string>()));
    }
    write_torch_zip(folder_ / file, tensors);
    const std::string expected = without_id(read_file(saved(file), 1u << 20));
    const std::string found = without_id(read_file(folder_ / file, 1u << 20));
    EXPECT_EQ(found.size(), expected.size());
    EXPECT_TRUE(found == expected)
        << "first difference at byte "
        << std::mismatch(found.begin(), found.end(), expected.begin(), expected.end()).first -
               found.begin();
  }
}

TEST_F(TorchZipWriter, ReadsBackAndAligns) {
  const Tensor half =
      host_cast(Tensor::from_floats({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6}), DType::kFloat16);
  const fs::path path = folder_ / "mm_projector.bin";
  write_torch_zip(path, {{"rows", half.rows(1, 2)}, {"whole", half}, {"tied", half}});
  const auto file = TorchZipFile::open(path);
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->load("rows").shape(), (Shape{1, 3}));
  EXPECT_EQ(host_to_float32(file->load("rows")).data<float>()[0], 4.0f);
  EXPECT_EQ(file->load("tied").bytes().data(), file->load("whole").bytes().data());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file->load("whole").bytes().data()) % 64, 0u);
}

TEST_F(TorchZipWriter, ReplacesAWholeFileByAWholeFile) {
  const fs::path path = write("old.bin", "old content");
  expect_error(ErrorCode::kInvalidArgument, {"old.bin", "'a'", "twice"}, [&] {
    write_torch_zip(path, {{"a", Tensor::zeros({2}, DType::kFloat32)},
                           {"a", Tensor::zeros({2}, DType::kFloat32)}});
  });
  expect_error(ErrorCode::kUnsupported, {"'p'", "q8"}, [&] {
    write_torch_zip(path, {{"p", Tensor::empty({32, 32}, DType::kPackedQ8)}});
  });
  expect_error(ErrorCode::kNotFound, {"absent"}, [&] {
    write_torch_zip(folder_ / "absent" / "x.bin", {{"a", Tensor::zeros({2}, DType::kFloat32)}});
  });
  EXPECT_EQ(read_file(path, 100), "old content");
}

TEST_F(TorchZipWriter, AFullDiskLeavesTheOldFile) {
  const fs::path path = write("old.bin", "old content");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 64u << 10, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error(ErrorCode::kResourceExhausted, {"old.bin"}, [&] {
    write_torch_zip(path, {{"a", Tensor::zeros({1 << 18}, DType::kFloat32)}});
  });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(path, 100), "old content");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

}  // namespace
}  // namespace llava::checkpoint
