// SPDX-License-Identifier: Apache-2.0
#include "llava/train/tensorboard_writer.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <optional>

#include "llava/core/error.h"

namespace llava::train {
namespace {

constexpr uint32_t kCastagnoli = 0x82f63b78;  // reflected polynomial

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ kCastagnoli : crc >> 1;
    table[i] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kCrcTable = crc_table();

template <class T>
void append_little_endian(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  std::array<char, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &value, sizeof(T));
  out.append(bytes.data(), bytes.size());
}

void append_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>((value & 0x7f) | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

// Wire types of protobuf.
enum Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void append_key(std::string& out, uint32_t field, Wire wire) {
  append_varint(out, (field << 3) | wire);
}

void append_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  append_key(out, field, kBytes);
  append_varint(out, bytes.size());
  out += bytes;
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// An event with the time and, unless it is the first, the step.
std::string new_event(std::optional<int64_t> step) {
  std::string event;
  append_key(event, 1, kFixed64);
  append_little_endian(event, now_seconds());
  if (step) {
    append_key(event, 2, kVarint);
    append_varint(event, static_cast<uint64_t>(*step));
  }
  return event;
}

}  // namespace

uint32_t masked_crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char c : bytes) crc = kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ (crc >> 8);
  crc ^= 0xffffffff;
  return std::rotr(crc, 15) + 0xa282ead8;
}

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  const std::filesystem::path path = folder / fmt::format("events.out.tfevents.{:.0f}.{}.{}.0",
                                                          now_seconds(), host.data(), ::getpid());
  file_.open(path, std::ios::binary);
  if (!file_) fail(ErrorCode::kNotFound, "cannot create '{}'", path.string());
  std::string event = new_event(std::nullopt);
  append_bytes(event, 3, "brain.Event:2");
  write_record(event);
}

void TensorBoardWriter::add_scalar(std::string_view tag, double value, int64_t step) {
  std::string point;
  append_bytes(point, 1, tag);
  append_key(point, 2, kFixed32);
  append_little_endian(point, static_cast<float>(value));
  std::string summary;
  append_bytes(summary, 1, point);
  std::string event = new_event(step);
  append_bytes(event, 5, summary);
  write_record(event);
}

void TensorBoardWriter::write_record(std::string_view event) {
  std::string length;
  append_little_endian(length, static_cast<uint64_t>(event.size()));
  std::string record = length;
  append_little_endian(record, masked_crc32c(length));
  record += event;
  append_little_endian(record, masked_crc32c(event));
  file_.write(record.data(), static_cast<std::streamsize>(record.size()));
  file_.flush();
}

}  // namespace llava::train
