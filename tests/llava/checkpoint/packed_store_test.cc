// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/packed_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "llava/checkpoint/expect_error.h"
#include "llava/checkpoint/packed_store_layout.h"
#include "llava/checkpoint/quantize_weights.h"
#include "llava/checkpoint/sharded.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "support/temporary_folder.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using llava::testing::expect_error;

const std::vector<DType> kForms = {DType::kFloat32,     DType::kFloat16,     DType::kBFloat16,
                                   DType::kPackedQ4,    DType::kPackedQ4Min, DType::kPackedQ8,
                                   DType::kPackedQ8Min, DType::kPackedQ8Half};

// A matrix whose sides fill up neither a panel nor a group.
Tensor matrix(DType form) {
  std::vector<float> values(37 * 70);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i * 7919 % 1000) / 500.0f - 1.0f;
  }
  const Tensor floats = Tensor::from_floats({37, 70}, values);
  ThreadPool pool(1);
  return is_packed(form) ? quantize_matrix(pool, floats, form).weight : host_cast(floats, form);
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return std::ranges::equal(a.bytes(), b.bytes());
}

class PackedStoreTest : public llava::testing::TemporaryFolder {
 protected:
  // One tensor of every form, a vector and two empty ones, the last of which ends the file.
  fs::path write_store() const {
    std::vector<std::pair<std::string, Tensor>> tensors;
    tensors.emplace_back("nothing", Tensor::zeros({0, 7}, DType::kFloat32));
    for (const DType form : kForms) tensors.emplace_back(dtype_name(form), matrix(form));
    tensors.emplace_back("vector", Tensor::from_floats({3}, std::vector<float>{1, 2, 3}));
    tensors.emplace_back("empty", Tensor::zeros({0}, DType::kFloat16));
    std::vector<PlannedTensor> plan;
    for (const auto& [name, tensor] : tensors) {
      plan.push_back({name, tensor.shape(), tensor.dtype()});
    }
    PackedStoreWriter writer(path(), plan, {{"dtype", "float32"}});
    for (const auto& [name, tensor] : tensors) writer.write(tensor);
    writer.finish();
    EXPECT_EQ(fs::file_size(path()), writer.file_bytes());
    return path();
  }

  fs::path path() const { return folder_ / kPackedStoreFile; }

  // The store with other bytes, its header's checksum made right again where asked for.
  void open_changed(const std::function<void(std::string&)>& change, bool fixes_checksum) const {
    std::string file = read_file(write_store(), 1 << 24);
    change(file);
    if (fixes_checksum) seal(file);
    write("changed.llava", file);
    PackedStore::open(folder_ / "changed.llava");
  }

  static void seal(std::string& file) {
    const auto bytes = std::as_bytes(std::span(file));
    uint64_t size = 0;
    std::memcpy(&size, file.data() + kStoreHeaderBytesAt, sizeof(size));
    const Sha256 digest = store_header_checksum(
        bytes.first(kStoreHeadBytes), std::string_view(file).substr(kStoreHeadBytes, size));
    std::memcpy(file.data() + kStoreChecksumAt, digest.data(), digest.size());
  }

  // The store with another header text of the same length.
  void open_with_header(const std::function<void(OrderedJson&)>& change) const {
    open_changed(
        [&](std::string& file) {
          uint64_t size = 0;
          std::memcpy(&size, file.data() + kStoreHeaderBytesAt, sizeof(size));
          OrderedJson header =
              parse_ordered_json(std::string_view(file).substr(kStoreHeadBytes, size), "header");
          change(header);
          std::string text = to_text(header);
          ASSERT_LE(text.size(), size);
          text.resize(size, ' ');
          file.replace(kStoreHeadBytes, size, text);
        },
        true);
  }
};

TEST_F(PackedStoreTest, ReadsEveryFormAsItWasWritten) {
  const auto store = PackedStore::open(write_store());
  EXPECT_EQ(store->metadata().at("dtype"), "float32");
  ASSERT_EQ(store->tensors().size(), kForms.size() + 3);
  for (const DType form : kForms) {
    const std::string name(dtype_name(form));
    const Tensor read = store->load(name);
    EXPECT_EQ(read.dtype(), form);
    EXPECT_EQ(read.shape(), (Shape{37, 70}));
    EXPECT_TRUE(same_bytes(read, matrix(form))) << name;
    EXPECT_EQ(store->tensors().at(name).stored_bytes, read.num_bytes());
  }
  EXPECT_EQ(store->load("vector").data<float>()[2], 3.0f);
  EXPECT_EQ(store->load("nothing").numel(), 0);
  expect_error(ErrorCode::kNotFound, {"model.llava", "absent"}, [&] { store->load("absent"); });
}

TEST_F(PackedStoreTest, TensorsAreViewsOfPages) {
  const auto store = PackedStore::open(write_store());
  for (const auto& [name, info] : store->tensors()) {
    const auto address = reinterpret_cast<uintptr_t>(store->load(name).bytes().data());
    EXPECT_EQ(address % kStoreAlignment, 0u) << name;
    EXPECT_EQ(store->load(name).bytes().data(), store->load(name).bytes().data()) << name;
  }
}

// What is read from memory that is not aligned is the same.
TEST_F(PackedStoreTest, ReadsFromAnyAddress) {
  const auto owner = std::make_shared<std::string>(" " + read_file(write_store(), 1 << 24));
  const PackedStore store(FileBytes{"memory", std::as_bytes(std::span(*owner)).subspan(1), owner});
  EXPECT_TRUE(same_bytes(store.load("q4"), matrix(DType::kPackedQ4)));
}

TEST_F(PackedStoreTest, IsFoundInAFolderAndByItsContent) {
  const fs::path path = write_store();
  EXPECT_EQ(find_weights(folder_), path);
  write("model.safetensors", "not this one");
  EXPECT_EQ(open_weights(folder_)->tensors().at("q8").stored_as, "q8");
  fs::rename(path, folder_ / "other.name");
  EXPECT_EQ(open_tensor_file(folder_ / "other.name")->tensors().at("q8").stored_as, "q8");
}

TEST_F(PackedStoreTest, VerifyNamesTheDamagedTensor) {
  ThreadPool pool(2);
  std::string file = read_file(write_store(), 1 << 24);
  uint64_t last = 0, total = 0;
  EXPECT_TRUE(PackedStore::open(path())
                  ->verify(pool,
                           [&](uint64_t done, uint64_t all) {
                             last = std::max(last, done);
                             total = all;
                           })
                  .empty());
  EXPECT_EQ(total, file.size());
  EXPECT_GT(last, 0u);
  const auto store = PackedStore::open(path());
  for (const auto& [name, info] : store->tensors()) {
    if (info.stored_bytes == 0) continue;
    const auto base = reinterpret_cast<const char*>(store->load("vector").bytes().data());
    const auto place = reinterpret_cast<const char*>(store->load(name).bytes().data());
    const std::size_t vector_at = file.find(std::string("\0\0\x80\x3f\0\0\0\x40", 8));
    ASSERT_NE(vector_at, std::string::npos);
    for (const int64_t within : {int64_t{0}, info.stored_bytes - 1}) {
      std::string damaged = file;
      damaged[static_cast<std::size_t>(static_cast<std::ptrdiff_t>(vector_at) + (place - base) +
                                       within)] ^= 1;
      write("damaged.llava", damaged);
      const auto problems = PackedStore::open(folder_ / "damaged.llava")->verify(pool);
      ASSERT_EQ(problems.size(), 1u) << name;
      EXPECT_NE(problems[0].find("'" + name + "'"), std::string::npos) << problems[0];
      EXPECT_NE(problems[0].find("damaged.llava"), std::string::npos) << problems[0];
    }
  }
  std::string padded = file;
  padded[padded.find(std::string("\0\0\x80\x3f\0\0\0\x40", 8)) - 1] = 'x';
  write("padded.llava", padded);
  const auto problems = PackedStore::open(folder_ / "padded.llava")->verify(pool);
  ASSERT_FALSE(problems.empty());
}

TEST_F(PackedStoreTest, EveryByteOfTheHeadCounts) {
  const std::string file = read_file(write_store(), 1 << 24);
  for (std::size_t at = 0; at < kStoreHeadBytes + 100; ++at) {
    EXPECT_THROW(open_changed([&](std::string& bytes) { bytes[at] ^= 4; }, false), Error) << at;
  }
  expect_error(ErrorCode::kBadFormat, {"changed.llava", "checksum", "llava quantize"}, [&] {
    open_changed([](std::string& bytes) { bytes[kStoreHeadBytes + 20] ^= 1; }, false);
  });
}

TEST_F(PackedStoreTest, RefusesAnotherVersion) {
  expect_error(ErrorCode::kUnsupported, {"version 2", "reads version 1", "llava quantize"},
               [&] { open_changed([](std::string& bytes) { bytes[kStoreVersionAt] = 2; }, true); });
}

TEST_F(PackedStoreTest, RefusesATruncatedFile) {
  const std::string file = read_file(write_store(), 1 << 24);
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{1000}, file.size() - 1}) {
    expect_error(ErrorCode::kBadFormat, {"changed.llava"},
                 [&] { open_changed([&](std::string& bytes) { bytes.resize(size); }, false); });
  }
  expect_error(ErrorCode::kBadFormat, {"incomplete", "copy the file again"}, [&] {
    open_changed([&](std::string& bytes) { bytes.resize(bytes.size() - 1); }, false);
  });
  expect_error(ErrorCode::kBadFormat, {"announces"},
               [&] { open_changed([&](std::string& bytes) { bytes += 'x'; }, false); });
}

TEST_F(PackedStoreTest, AnInterruptedFileHasNoMagic) {
  PackedStoreWriter writer(path(), {{"a", {3}, DType::kFloat32}}, {});
  writer.write(Tensor::from_floats({3}, std::vector<float>{1, 2, 3}));
  expect_error(ErrorCode::kBadFormat, {"model.llava", "interrupted"},
               [&] { PackedStore::open(path()); });
}

TEST_F(PackedStoreTest, RefusesHeadersThatCannotBe) {
  const auto tensor = [](OrderedJson& header, std::size_t i) -> OrderedJson& {
    return header["tensors"][i];
  };
  expect_error(ErrorCode::kBadFormat, {"'nothing' twice"}, [&] {
    open_with_header([&](OrderedJson& h) { tensor(h, 10)["name"] = "nothing"; });
  });
  expect_error(ErrorCode::kBadFormat, {"'q4'", "overlap"}, [&] {
    open_with_header([&](OrderedJson& h) { tensor(h, 4)["offset"] = tensor(h, 3)["offset"]; });
  });
  expect_error(ErrorCode::kBadFormat, {"'q4'", "hole"}, [&] {
    open_with_header([&](OrderedJson& h) { tensor(h, 4)["offset"] = INT64_MAX; });
  });
  expect_error(ErrorCode::kBadFormat, {"'q4'", "-4096"},
               [&] { open_with_header([&](OrderedJson& h) { tensor(h, 4)["offset"] = -4096; }); });
  expect_error(ErrorCode::kBadFormat, {"'q8'", "bytes"},
               [&] { open_with_header([&](OrderedJson& h) { tensor(h, 6)["bytes"] = 1; }); });
  for (const char* shape :
       {"[9223372036854775807,64]", "[-1,64]", "[37]", "[4294967296,4294967296]"}) {
    expect_error(ErrorCode::kBadFormat, {"'q8'", "shape"}, [&] {
      open_with_header([&](OrderedJson& h) {
        h["metadata"] = OrderedJson::object();  // makes room for the longer shape
        tensor(h, 6)["shape"] = parse_ordered_json(shape, "shape");
      });
    });
  }
  expect_error(ErrorCode::kUnsupported, {"'q8'", "q9"},
               [&] { open_with_header([&](OrderedJson& h) { tensor(h, 6)["type"] = "q9"; }); });
  expect_error(ErrorCode::kUnsupported, {"'q8'", "int8"}, [&] {
    open_with_header([&](OrderedJson& h) {
      h["metadata"] = OrderedJson::object();
      tensor(h, 6)["type"] = "int8";
    });
  });
  expect_error(ErrorCode::kBadFormat, {"sha256", "hexadecimal"},
               [&] { open_with_header([&](OrderedJson& h) { tensor(h, 6)["sha256"] = "12"; }); });
  expect_error(ErrorCode::kBadFormat, {"tensors end"}, [&] {
    open_with_header([&](OrderedJson& h) {
      h["tensors"].erase(9);
      h["tensors"].erase(9);
    });
  });
  expect_error(ErrorCode::kBadFormat, {"tensors"},
               [&] { open_with_header([&](OrderedJson& h) { h.erase("tensors"); }); });
  expect_error(ErrorCode::kBadFormat, {"metadata"},
               [&] { open_with_header([&](OrderedJson& h) { h.erase("metadata"); }); });
}

TEST_F(PackedStoreTest, TheWriterRefusesWhatItCannotWrite) {
  expect_error(ErrorCode::kInvalidArgument, {"'a'", "twice"}, [&] {
    PackedStoreWriter(path(), {{"a", {1}, DType::kFloat32}, {"a", {1}, DType::kFloat32}}, {});
  });
  expect_error(ErrorCode::kUnsupported, {"'a'", "int64"}, [&] {
    PackedStoreWriter(path(), {{"a", {1}, DType::kInt64}}, {});
  });
  expect_error(ErrorCode::kNotFound, {"nowhere"}, [&] {
    PackedStoreWriter(folder_ / "nowhere" / "x", {{"a", {1}, DType::kFloat32}}, {});
  });
  expect_error(ErrorCode::kResourceExhausted, {"full"}, [&] {
    PackedStoreWriter writer("/dev/full", {{"a", {1}, DType::kFloat32}}, {});
    writer.write(Tensor::zeros({1}, DType::kFloat32));
  });
}

}  // namespace
}  // namespace llava::checkpoint
