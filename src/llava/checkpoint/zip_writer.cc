// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/zip_writer.h"

#include <algorithm>

#include "llava/checkpoint/zip_format.h"
#include "llava/core/check.h"
#include "llava/core/crc32.h"
#include "llava/core/error.h"

namespace llava::checkpoint {
namespace {

constexpr uint32_t kDataDescriptor = 0x08074b50;
constexpr uint16_t kUtf8Names = 1u << 11;
constexpr uint16_t kHasDescriptor = 1u << 3;
constexpr uint16_t kMadeByUnix = 0x031E;
constexpr uint16_t kNeedsZip64 = 45;
constexpr uint64_t kMax32 = UINT32_MAX;

// Little-endian numbers in a row.
class Record {
 public:
  Record& u16(uint64_t value) { return put(static_cast<uint16_t>(value)); }
  Record& u32(uint64_t value) { return put(static_cast<uint32_t>(value)); }
  Record& u64(uint64_t value) { return put(value); }
  Record& text(std::string_view value) {
    bytes_ += value;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  template <class T>
  Record& put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  std::string bytes_;
};

uint64_t at_most_32_bits(uint64_t value) { return std::min(value, kMax32); }

// What does not fit in 32 bits; torch has the offset in local headers as well.
std::string zip64_extra(uint64_t size, uint64_t offset) {
  Record values;
  if (size >= kMax32) values.u64(size).u64(size);
  if (offset >= kMax32) values.u64(offset);
  if (values.bytes().empty()) return {};
  return Record().u16(kZip64Extra).u16(values.bytes().size()).text(values.bytes()).bytes();
}

// Fills up the local header so that the payload is aligned: field "FB" with letters Z.
std::string padding_extra(uint64_t position) {
  constexpr uint64_t kFieldHead = 4;
  const uint64_t after = (position + kFieldHead) % ZipWriter::kAlignment;
  const uint64_t fill = (ZipWriter::kAlignment - after) % ZipWriter::kAlignment;
  return Record().text("FB").u16(fill).text(std::string(fill, 'Z')).bytes();
}

uint16_t flags_of(uint64_t size) {
  return size == 0 ? kUtf8Names : static_cast<uint16_t>(kUtf8Names | kHasDescriptor);
}

}  // namespace

ZipWriter::ZipWriter(const std::filesystem::path& path) : file_(path) {}

void ZipWriter::add(std::string_view name, std::span<const std::byte> content) {
  constexpr uint64_t kLocalBytes = 30;
  LLAVA_CHECK(name.size() <= UINT16_MAX);
  const Entry entry{std::string(name), content.size(), file_.size(), crc32(content)};
  const std::string large = zip64_extra(entry.size, entry.offset);
  const std::string extra =
      large + padding_extra(entry.offset + kLocalBytes + name.size() + large.size());
  // Sizes and checksum follow the payload, as torch has it: its reader may compute places from
  // the lengths of all that precedes.
  file_.write(Record()
                  .u32(kLocalHeader)
                  .u16(0)
                  .u16(flags_of(entry.size))
                  .u16(0)
                  .u32(0)
                  .u32(0)
                  .u32(0)
                  .u32(0)
                  .u16(name.size())
                  .u16(extra.size())
                  .text(name)
                  .text(extra)
                  .bytes());
  file_.write(content);
  if (entry.size > 0) {
    Record descriptor;
    descriptor.u32(kDataDescriptor).u32(entry.crc);
    if (large.empty()) {
      descriptor.u32(entry.size).u32(entry.size);
    } else {
      descriptor.u64(entry.size).u64(entry.size);
    }
    file_.write(descriptor.bytes());
  }
  entries_.push_back(entry);
}

void ZipWriter::write_directory_entry(const Entry& entry) {
  const std::string extra = zip64_extra(entry.size, entry.offset);
  file_.write(Record()
                  .u32(kCentralHeader)
                  .u16(0)
                  .u16(0)
                  .u16(flags_of(entry.size))
                  .u16(0)
                  .u32(0)
                  .u32(entry.crc)
                  .u32(at_most_32_bits(entry.size))
                  .u32(at_most_32_bits(entry.size))
                  .u16(entry.name.size())
                  .u16(extra.size())
                  .u16(0)
                  .u16(0)
                  .u16(0)
                  .u32(0)
                  .u32(at_most_32_bits(entry.offset))
                  .text(entry.name)
                  .text(extra)
                  .bytes());
}

void ZipWriter::finish() {
  constexpr uint64_t kRecord64Rest = 44;  // the record's length without signature and length
  const uint64_t begin = file_.size();
  for (const Entry& entry : entries_) write_directory_entry(entry);
  const uint64_t size = file_.size() - begin;
  const uint64_t count = entries_.size();
  // torch writes the large form always.
  const uint64_t record = file_.size();
  file_.write(Record()
                  .u32(kEndOfDirectory64)
                  .u64(kRecord64Rest)
                  .u16(kMadeByUnix)
                  .u16(kNeedsZip64)
                  .u32(0)
                  .u32(0)
                  .u64(count)
                  .u64(count)
                  .u64(size)
                  .u64(begin)
                  .bytes());
  file_.write(Record().u32(kLocator64).u32(0).u64(record).u32(1).bytes());
  const uint64_t short_count = std::min<uint64_t>(count, UINT16_MAX);
  file_.write(Record()
                  .u32(kEndOfDirectory)
                  .u16(0)
                  .u16(0)
                  .u16(short_count)
                  .u16(short_count)
                  .u32(at_most_32_bits(size))
                  .u32(at_most_32_bits(begin))
                  .u16(0)
                  .bytes());
  file_.finish();
}

std::string ZipWriter::content_digits() const {
  // FNV-1a over names and checksums.
  constexpr uint64_t kPrime = 0x100000001b3;
  uint64_t names = 0xcbf29ce484222325, contents = names;
  for (const Entry& entry : entries_) {
    for (const char letter : entry.name) {
      names = (names ^ static_cast<unsigned char>(letter)) * kPrime;
    }
    contents = (contents ^ entry.crc) * kPrime;
  }
  return fmt::format("{:020}{:020}", names, contents);
}

}  // namespace llava::checkpoint
