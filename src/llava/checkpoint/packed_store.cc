// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/packed_store.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "llava/checkpoint/packed_store_layout.h"
#include "llava/core/checked_math.h"
#include "llava/core/guarded.h"
#include "llava/core/json.h"
#include "llava/tensor/packed.h"

namespace llava::checkpoint {
namespace {

constexpr uintptr_t kPanelAlignment = 64;
constexpr std::string_view kMakeAgain =
    "copy the file again, or make it again with 'llava quantize'";

template <class T>
T number_at(std::span<const std::byte> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

std::optional<Sha256> parse_checksum(std::string_view hex) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  Sha256 digest{};
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const std::size_t high = kDigits.find(hex[2 * i]);
    const std::size_t low = kDigits.find(hex[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    digest[i] = static_cast<unsigned char>(high << 4 | low);
  }
  return digest;
}

// Bytes of a tensor whose shape comes from outside.
std::optional<int64_t> bytes_of_shape(const Shape& shape, DType dtype) {
  if (is_packed(dtype)) return packed_bytes(dtype, shape);
  const auto numel = checked_product(shape);
  return numel ? checked_mul(*numel, item_size(dtype)) : std::nullopt;
}

TensorInfo read_entry(const std::string& file, const JsonObject& entry, uint64_t offset) {
  const auto name = entry.get_string("name");
  if (!name || name->empty()) entry.wrong_type("name", "the name of a tensor");
  const auto type_name = entry.get_string("type");
  const auto shape = entry.get_int_list("shape");
  const auto begin = entry.get_int("offset");
  const auto bytes = entry.get_int("bytes");
  if (!type_name) entry.wrong_type("type", "a type name");
  if (!shape) entry.wrong_type("shape", "a list of sizes");
  if (!begin) entry.wrong_type("offset", "an offset in bytes");
  if (!bytes) entry.wrong_type("bytes", "a number of bytes");
  const auto dtype = dtype_from_name(*type_name);
  if (!dtype || !is_store_type(*dtype)) {
    fail(ErrorCode::kUnsupported,
         "'{}': tensor '{}' has type '{}'; supported are float32, float16, bfloat16, q4, q4_min, "
         "q8, q8_min and q8_half: a newer llava may have written it",
         file, *name, *type_name);
  }
  const auto expected = bytes_of_shape(*shape, *dtype);
  if (!expected || *expected != *bytes) {
    fail(ErrorCode::kBadFormat,
         "'{}': tensor '{}' has type {} and shape {}, so {} bytes, but {} are announced", file,
         *name, *type_name, to_text(*shape),
         expected ? std::to_string(*expected) : "an impossible number of", *bytes);
  }
  if (*begin < 0 || static_cast<uint64_t>(*begin) != offset) {
    fail(ErrorCode::kBadFormat, "'{}': tensor '{}' begins at byte {}, expected {}: ranges {}", file,
         *name, *begin, offset,
         *begin < 0 || static_cast<uint64_t>(*begin) < offset ? "overlap" : "leave a hole");
  }
  return {*name, *shape, *dtype, *type_name, *bytes, file};
}

}  // namespace

std::shared_ptr<const PackedStore> PackedStore::open(const std::filesystem::path& path) {
  return std::make_shared<const PackedStore>(map_file(path));
}

PackedStore::PackedStore(FileBytes file) : file_(std::move(file)) {
  ByteReader reader(file_.name, file_.bytes);
  const auto head = reader.take(kStoreHeadBytes, "head of the packed store");
  if (std::memcmp(head.data(), kPackedStoreMagic.data(), kPackedStoreMagic.size()) != 0) {
    fail(ErrorCode::kBadFormat,
         "'{}' does not begin as a packed store at byte 0, expected {}: its writing was "
         "interrupted or it is another kind of file; {}",
         file_.name, kPackedStoreMagic, kMakeAgain);
  }
  const auto version = number_at<uint32_t>(head, kStoreVersionAt);
  if (version != kPackedStoreVersion) {
    fail(ErrorCode::kUnsupported,
         "'{}' is a packed store of version {} (byte {}), this llava reads version {}: make it "
         "again from the original checkpoint with 'llava quantize', or use the llava that made it",
         file_.name, version, kStoreVersionAt, kPackedStoreVersion);
  }
  const auto alignment = number_at<uint32_t>(head, kStoreAlignmentAt);
  const auto header_bytes = number_at<uint64_t>(head, kStoreHeaderBytesAt);
  const auto file_bytes = number_at<uint64_t>(head, kStoreFileBytesAt);
  if (alignment != kStoreAlignment) {
    fail(ErrorCode::kBadFormat, "'{}' announces an alignment of {} (byte {}), expected {}: {}",
         file_.name, alignment, kStoreAlignmentAt, kStoreAlignment, kMakeAgain);
  }
  if (file_bytes != file_.bytes.size()) {
    fail(ErrorCode::kBadFormat, "'{}' has {} bytes, but announces {} (byte {}): it is {}; {}",
         file_.name, file_.bytes.size(), file_bytes, kStoreFileBytesAt,
         file_.bytes.size() < file_bytes ? "incomplete" : "damaged", kMakeAgain);
  }
  if (header_bytes > kMaxStoreHeaderBytes || header_bytes > reader.remaining()) {
    fail(ErrorCode::kBadFormat,
         "'{}' announces a header of {} bytes (byte {}), but {} follow and at most {} are allowed: "
         "{}",
         file_.name, header_bytes, kStoreHeaderBytesAt, reader.remaining(), kMaxStoreHeaderBytes,
         kMakeAgain);
  }
  const std::string_view text = reader.text(header_bytes, "header of the packed store");
  const Sha256 checksum = store_header_checksum(head, text);
  if (std::memcmp(checksum.data(), head.data() + kStoreChecksumAt, checksum.size()) != 0) {
    fail(ErrorCode::kBadFormat,
         "'{}': the header (bytes 0 to {}) does not have its checksum (byte {}): the file is "
         "damaged; {}",
         file_.name, kStoreHeadBytes + header_bytes, kStoreChecksumAt, kMakeAgain);
  }
  header_end_ = reader.offset();
  read_header(text, *store_aligned(header_end_));
}

void PackedStore::read_header(std::string_view text, uint64_t data_begin) {
  const std::string source = fmt::format("'{}' (header at byte {})", file_.name, kStoreHeadBytes);
  const Json json = parse_json(text, source);
  const JsonObject header(json, source);
  const Json* metadata = header.find("metadata");
  if (metadata == nullptr) header.wrong_type("metadata", "an object of strings");
  const JsonObject facts(*metadata, source + ": metadata");
  for (const auto& item : metadata->items()) {
    const auto value = facts.get_string(item.key());
    if (!value) facts.wrong_type(item.key(), "a string");
    metadata_.emplace(item.key(), *value);
  }
  const Json* list = header.find("tensors");
  if (list == nullptr || !list->is_array()) header.wrong_type("tensors", "a list of tensors");
  uint64_t offset = data_begin;
  uint64_t end = data_begin;
  for (const Json& item : *list) {
    const JsonObject entry(item, fmt::format("{}: tensor {}", source, order_.size()));
    TensorInfo info = read_entry(file_.name, entry, offset);
    const auto checksum = parse_checksum(entry.get_string("sha256").value_or(""));
    if (!checksum) entry.wrong_type("sha256", "64 hexadecimal digits");
    const auto bytes = static_cast<uint64_t>(info.stored_bytes);
    // The last tensor ends the file; the others are followed by zeros up to the next.
    if (bytes > file_.bytes.size() || offset > file_.bytes.size() - bytes) {
      fail(ErrorCode::kBadFormat,
           "'{}': tensor '{}' has {} bytes from byte {} on, but the file ends at {}: {}",
           file_.name, info.name, bytes, offset, file_.bytes.size(), kMakeAgain);
    }
    end = offset + bytes;
    if (!places_.emplace(info.name, Place{offset, bytes, *checksum}).second) {
      fail(ErrorCode::kBadFormat, "'{}' has tensor '{}' twice", file_.name, info.name);
    }
    offset = *store_aligned(end);
    order_.push_back(info.name);
    tensors_.emplace(order_.back(), std::move(info));
  }
  if (end != file_.bytes.size()) {
    fail(ErrorCode::kBadFormat, "'{}': tensors end at byte {}, but the file has {}: {}", file_.name,
         end, file_.bytes.size(), kMakeAgain);
  }
}

std::span<const std::byte> PackedStore::bytes_of(const Place& place) const {
  return file_.bytes.subspan(place.offset, place.bytes);
}

Tensor PackedStore::load(const std::string& name) const {
  const auto it = places_.find(name);
  if (it == places_.end()) {
    fail(ErrorCode::kNotFound, "'{}' has no tensor '{}'", file_.name, name);
  }
  const TensorInfo& info = tensors_.at(name);
  const auto bytes = bytes_of(it->second);
  // A mapping begins with a page; other memory need not.
  if (reinterpret_cast<uintptr_t>(bytes.data()) % kPanelAlignment == 0) {
    return Tensor::view_of(file_.owner, bytes, info.shape, info.dtype);
  }
  Tensor copy = Tensor::empty(info.shape, info.dtype);
  if (!bytes.empty()) std::memcpy(copy.mutable_bytes().data(), bytes.data(), bytes.size());
  return copy;
}

std::vector<std::string> PackedStore::verify(ThreadPool& pool,
                                             const ProgressCallback& on_progress) const {
  std::vector<uint8_t> is_damaged(order_.size(), 0);
  Guarded<uint64_t> done{0};
  pool.run(static_cast<int64_t>(order_.size()), [&](int64_t index) {
    const Place& place = places_.at(order_[static_cast<std::size_t>(index)]);
    is_damaged[static_cast<std::size_t>(index)] = sha256(bytes_of(place)) != place.checksum;
    done.with([&](uint64_t& bytes) {
      bytes += place.bytes;
      if (on_progress) on_progress(bytes, file_.bytes.size());
    });
  });
  std::vector<std::string> problems;
  uint64_t end = header_end_;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const Place& place = places_.at(order_[i]);
    const auto gap = file_.bytes.subspan(end, place.offset - end);
    if (!std::ranges::all_of(gap, [](std::byte byte) { return byte == std::byte{0}; })) {
      problems.push_back(fmt::format("'{}': bytes {} to {}, between tensors, are not zero",
                                     file_.name, end, place.offset));
    }
    end = place.offset + place.bytes;
    if (is_damaged[i] == 0) continue;
    problems.push_back(
        fmt::format("'{}': tensor '{}' (bytes {} to {}) does not have its checksum: the file is "
                    "damaged; {}",
                    file_.name, order_[i], place.offset, end, kMakeAgain));
  }
  return problems;
}

}  // namespace llava::checkpoint
