// SPDX-License-Identifier: Apache-2.0
#include "llava/text/protobuf_reader.h"

#include <bit>
#include <utility>

#include "llava/core/error.h"

namespace llava::text {

using Wire = ProtobufField::Wire;

ProtobufReader::ProtobufReader(std::string_view bytes, std::string source, std::size_t offset)
    : bytes_(bytes), source_(std::move(source)), base_(offset) {}

uint64_t ProtobufReader::read_varint() {
  const std::size_t begin = at_;
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at_ >= bytes_.size()) {
      fail(ErrorCode::kBadFormat, "{}: a number at offset {} is cut off", source_, base_ + begin);
    }
    const auto byte = static_cast<uint8_t>(bytes_[at_++]);
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  fail(ErrorCode::kBadFormat, "{}: a number at offset {} has more than 10 bytes", source_,
       base_ + begin);
}

uint64_t ProtobufReader::read_fixed(std::size_t num_bytes) {
  if (bytes_.size() - at_ < num_bytes) {
    fail(ErrorCode::kBadFormat, "{}: a {}-byte number at offset {} is cut off", source_, num_bytes,
         base_ + at_);
  }
  uint64_t value = 0;
  for (std::size_t i = 0; i < num_bytes; ++i) {
    value |= uint64_t{static_cast<uint8_t>(bytes_[at_ + i])} << (8 * i);
  }
  at_ += num_bytes;
  return value;
}

std::optional<ProtobufField> ProtobufReader::next() {
  if (at_ >= bytes_.size()) return std::nullopt;
  ProtobufField field;
  field.offset = base_ + at_;
  const uint64_t tag = read_varint();
  if (tag >> 32 != 0 || tag >> 3 == 0) {
    fail(ErrorCode::kBadFormat, "{}: offset {} has no field of a protocol buffer (tag {})", source_,
         field.offset, tag);
  }
  field.number = static_cast<uint32_t>(tag >> 3);
  field.wire = static_cast<Wire>(tag & 7);
  switch (field.wire) {
    case Wire::kVarint:
      field.value = read_varint();
      break;
    case Wire::kFixed64:
      field.value = read_fixed(8);
      break;
    case Wire::kFixed32:
      field.value = read_fixed(4);
      break;
    case Wire::kBytes: {
      const uint64_t length = read_varint();
      if (length > bytes_.size() - at_) {
        fail(ErrorCode::kBadFormat,
             "{}: field {} at offset {} announces {} bytes, but {} are left: the file is truncated "
             "or is no SentencePiece model",
             source_, field.number, field.offset, length, bytes_.size() - at_);
      }
      field.bytes = bytes_.substr(at_, length);
      at_ += length;
      break;
    }
    default:
      fail(ErrorCode::kBadFormat, "{}: field {} at offset {} has the unknown wire type {}", source_,
           field.number, field.offset, tag & 7);
  }
  return field;
}

void ProtobufReader::expect(const ProtobufField& field, Wire wire, std::string_view what) const {
  if (field.wire == wire) return;
  fail(ErrorCode::kBadFormat, "{}: {} at offset {} has wire type {}, expected {}", source_, what,
       field.offset, static_cast<int>(field.wire), static_cast<int>(wire));
}

uint64_t ProtobufReader::varint(const ProtobufField& field, std::string_view what) const {
  expect(field, Wire::kVarint, what);
  return field.value;
}

float ProtobufReader::float32(const ProtobufField& field, std::string_view what) const {
  expect(field, Wire::kFixed32, what);
  return std::bit_cast<float>(static_cast<uint32_t>(field.value));
}

std::string_view ProtobufReader::bytes(const ProtobufField& field, std::string_view what) const {
  expect(field, Wire::kBytes, what);
  return field.bytes;
}

ProtobufReader ProtobufReader::message(const ProtobufField& field, std::string_view what) const {
  const std::string_view content = bytes(field, what);
  return ProtobufReader(content, source_,
                        base_ + static_cast<std::size_t>(content.data() - bytes_.data()));
}

}  // namespace llava::text
