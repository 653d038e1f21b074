// SPDX-License-Identifier: Apache-2.0
//
// A reader of the protocol-buffer wire format: fields of one message in file order. It knows no
// schema; the caller names the fields it wants and skips the rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace llava::text {

/// One field of a message.
struct ProtobufField {
  enum class Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  uint32_t number = 0;
  Wire wire = Wire::kVarint;
  uint64_t value = 0;      ///< of the three numeric kinds
  std::string_view bytes;  ///< of kBytes
  std::size_t offset = 0;  ///< of the field in the file
};

/// Walks the fields of one message. The bytes must outlive the reader.
class ProtobufReader {
 public:
  /// `source` names the file in messages; `offset` is where the message starts in it.
  ProtobufReader(std::string_view bytes, std::string source, std::size_t offset = 0);

  /// The next field, or nothing at the end.
  ///
  /// Throws: Error(kBadFormat) with the offset for truncated or malformed fields.
  std::optional<ProtobufField> next();

  /// The payload of a numeric, float or length-delimited field; `what` names it in messages.
  ///
  /// Throws: Error(kBadFormat) if the field has another wire type.
  uint64_t varint(const ProtobufField& field, std::string_view what) const;
  float float32(const ProtobufField& field, std::string_view what) const;
  std::string_view bytes(const ProtobufField& field, std::string_view what) const;
  /// A reader of an embedded message.
  ProtobufReader message(const ProtobufField& field, std::string_view what) const;

 private:
  uint64_t read_varint();
  uint64_t read_fixed(std::size_t num_bytes);
  void expect(const ProtobufField& field, ProtobufField::Wire wire, std::string_view what) const;

  std::string_view bytes_;
  std::string source_;
  std::size_t base_;
  std::size_t at_ = 0;
};

}  // namespace llava::text
