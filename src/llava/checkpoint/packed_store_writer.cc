// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "llava/checkpoint/packed_store.h"
#include "llava/checkpoint/packed_store_layout.h"
#include "llava/core/check.h"
#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::checkpoint {

PackedStoreWriter::PackedStoreWriter(const std::filesystem::path& path,
                                     std::vector<PlannedTensor> tensors,
                                     std::map<std::string, std::string> metadata)
    : path_(path),
      tensors_(std::move(tensors)),
      metadata_(std::move(metadata)),
      places_(tensors_.size()) {
  std::set<std::string_view> names;
  for (const PlannedTensor& tensor : tensors_) {
    if (!names.insert(tensor.name).second) {
      fail(ErrorCode::kInvalidArgument, "cannot write '{}': tensor '{}' is given twice",
           path_.string(), tensor.name);
    }
    if (!is_store_type(tensor.dtype)) {
      fail(ErrorCode::kUnsupported, "cannot write '{}': tensor '{}' has type {}", path_.string(),
           tensor.name, dtype_name(tensor.dtype));
    }
  }
  // Offsets depend on the header's length, which depends on how many digits offsets have: the
  // longest are written once and the text is filled up with spaces afterwards.
  for (Place& place : places_) place.offset = INT64_MAX;
  header_bytes_ = header_text().size();
  uint64_t offset = *store_aligned(kStoreHeadBytes + header_bytes_);
  file_bytes_ = offset;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    places_[i].offset = offset;
    file_bytes_ = offset + static_cast<uint64_t>(tensors_[i].num_bytes());
    offset = *store_aligned(file_bytes_);
  }
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    fail(ErrorCode::kNotFound, "cannot create '{}': {}", path_.string(), std::strerror(errno));
  }
}

PackedStoreWriter::~PackedStoreWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void PackedStoreWriter::write(const Tensor& tensor) {
  LLAVA_CHECK(next_ < tensors_.size() && tensor.shape() == tensors_[next_].shape &&
              tensor.dtype() == tensors_[next_].dtype);
  Place& place = places_[next_++];
  place.checksum = sha256(tensor.bytes());
  write_at(place.offset, tensor.bytes());
}

void PackedStoreWriter::finish() {
  LLAVA_CHECK(next_ == tensors_.size());
  std::string text = header_text();
  LLAVA_CHECK(text.size() <= header_bytes_);
  text.resize(header_bytes_, ' ');
  std::array<std::byte, kStoreHeadBytes> head{};
  const auto version = kPackedStoreVersion;
  const auto alignment = static_cast<uint32_t>(kStoreAlignment);
  std::memcpy(head.data(), kPackedStoreMagic.data(), kPackedStoreMagic.size());
  std::memcpy(head.data() + kStoreVersionAt, &version, sizeof(version));
  std::memcpy(head.data() + kStoreAlignmentAt, &alignment, sizeof(alignment));
  std::memcpy(head.data() + kStoreHeaderBytesAt, &header_bytes_, sizeof(header_bytes_));
  std::memcpy(head.data() + kStoreFileBytesAt, &file_bytes_, sizeof(file_bytes_));
  const Sha256 checksum = store_header_checksum(head, text);
  std::memcpy(head.data() + kStoreChecksumAt, checksum.data(), checksum.size());
  // What no tensor covers is zero, also behind the header of a file without tensors.
  if (::ftruncate(descriptor_, static_cast<off_t>(file_bytes_)) != 0) {
    fail(ErrorCode::kResourceExhausted, "cannot write '{}': {}", path_.string(),
         std::strerror(errno));
  }
  write_at(kStoreHeadBytes, std::as_bytes(std::span(text)));
  write_at(0, head);
  if (::fsync(descriptor_) != 0) {
    fail(ErrorCode::kResourceExhausted, "cannot write '{}': {}", path_.string(),
         std::strerror(errno));
  }
}

std::string PackedStoreWriter::header_text() const {
  OrderedJson header;
  header["metadata"] = metadata_;
  header["tensors"] = OrderedJson::array();
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    OrderedJson entry;
    entry["name"] = tensors_[i].name;
    entry["type"] = dtype_name(tensors_[i].dtype);
    entry["shape"] = tensors_[i].shape;
    entry["offset"] = places_[i].offset;
    entry["bytes"] = tensors_[i].num_bytes();
    entry["sha256"] = to_hex(places_[i].checksum);
    header["tensors"].push_back(std::move(entry));
  }
  return to_text(header);
}

void PackedStoreWriter::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      fail(ErrorCode::kResourceExhausted, "cannot write '{}' at byte {}: {}", path_.string(),
           offset, std::strerror(errno));
    }
    offset += static_cast<uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

}  // namespace llava::checkpoint
