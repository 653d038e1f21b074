// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/zip_reader.h"

#include <optional>
#include <utility>

#include "llava/checkpoint/zip_format.h"

namespace llava::checkpoint {
namespace {

constexpr uint64_t kEndBytes = 22;
constexpr uint64_t kLocatorBytes = 20;
constexpr uint64_t kCentralBytes = 46;

[[noreturn]] void damaged(const FileBytes& file, std::string_view what, uint64_t offset) {
  fail(ErrorCode::kBadFormat,
       "'{}': {} at byte {}: the archive is damaged or incomplete, download it again", file.name,
       what, offset);
}

struct Directory {
  uint64_t num_entries = 0;
  uint64_t num_bytes = 0;
  uint64_t offset = 0;
};

// The end record stands last, before a comment of at most 65535 bytes.
uint64_t find_end_record(const FileBytes& file) {
  const uint64_t size = file.bytes.size();
  if (size < kEndBytes) damaged(file, "no ZIP end record, the file is too short", size);
  const uint64_t lowest = size - kEndBytes > 65535 ? size - kEndBytes - 65535 : 0;
  for (uint64_t at = size - kEndBytes + 1; at-- > lowest;) {
    ByteReader reader(file.name, file.bytes, at);
    if (reader.number<uint32_t>("ZIP end record") != kEndOfDirectory) continue;
    reader.take(16, "ZIP end record");
    if (reader.number<uint16_t>("ZIP comment length") == reader.remaining()) return at;
  }
  damaged(file, "no ZIP end record in the last bytes, searched back", lowest);
}

Directory find_directory(const FileBytes& file) {
  const uint64_t end = find_end_record(file);
  ByteReader reader(file.name, file.bytes, end + 8);
  Directory directory;
  reader.number<uint16_t>("ZIP entry count");
  directory.num_entries = reader.number<uint16_t>("ZIP entry count");
  directory.num_bytes = reader.number<uint32_t>("ZIP directory size");
  directory.offset = reader.number<uint32_t>("ZIP directory offset");
  const bool has_locator =
      end >= kLocatorBytes &&
      ByteReader(file.name, file.bytes, end - kLocatorBytes).number<uint32_t>("ZIP64 locator") ==
          kLocator64;
  if (has_locator) {
    ByteReader locator(file.name, file.bytes, end - kLocatorBytes + 8);
    const auto record = locator.number<uint64_t>("ZIP64 end record offset");
    ByteReader end64(file.name, file.bytes, record);
    if (end64.number<uint32_t>("ZIP64 end record") != kEndOfDirectory64) {
      damaged(file, "no ZIP64 end record", record);
    }
    end64.take(28, "ZIP64 end record");
    directory.num_entries = end64.number<uint64_t>("ZIP64 entry count");
    directory.num_bytes = end64.number<uint64_t>("ZIP64 directory size");
    directory.offset = end64.number<uint64_t>("ZIP64 directory offset");
  }
  const uint64_t size = file.bytes.size();
  if (directory.offset > size || directory.num_bytes > size - directory.offset) {
    damaged(file, "the ZIP directory lies outside the file", directory.offset);
  }
  if (directory.num_entries > directory.num_bytes / kCentralBytes) {
    damaged(file, "the ZIP directory is too small for its entries", directory.offset);
  }
  return directory;
}

struct CentralEntry {
  std::string name;
  uint64_t num_bytes = 0;
  uint64_t header_offset = 0;
};

// Replaces the fields that hold 0xFFFFFFFF by those of the ZIP64 extra field.
void apply_zip64(const FileBytes& file, std::span<const std::byte> extra, uint64_t extra_offset,
                 uint64_t& uncompressed, uint64_t& compressed, uint64_t& header_offset) {
  ByteReader reader(file.name, extra);
  while (reader.remaining() >= 4) {
    const auto id = reader.number<uint16_t>("ZIP extra field");
    const auto size = reader.number<uint16_t>("ZIP extra field size");
    if (size > reader.remaining()) damaged(file, "a ZIP extra field is cut off", extra_offset);
    ByteReader field(file.name, reader.take(size, "ZIP extra field"));
    if (id != kZip64Extra) continue;
    for (uint64_t* value : {&uncompressed, &compressed, &header_offset}) {
      if (*value != 0xFFFFFFFFu) continue;
      if (field.remaining() < 8) damaged(file, "a ZIP64 extra field is cut off", extra_offset);
      *value = field.number<uint64_t>("ZIP64 extra field");
    }
    return;
  }
}

CentralEntry read_central_entry(const FileBytes& file, ByteReader& reader) {
  const uint64_t at = reader.offset();
  if (reader.number<uint32_t>("ZIP directory entry") != kCentralHeader) {
    damaged(file, "no ZIP directory entry", at);
  }
  reader.take(4, "ZIP directory entry");
  const auto flags = reader.number<uint16_t>("ZIP flags");
  const auto method = reader.number<uint16_t>("ZIP method");
  reader.take(8, "ZIP directory entry");
  uint64_t compressed = reader.number<uint32_t>("ZIP compressed size");
  uint64_t uncompressed = reader.number<uint32_t>("ZIP size");
  const auto name_bytes = reader.number<uint16_t>("ZIP name length");
  const auto extra_bytes = reader.number<uint16_t>("ZIP extra length");
  const auto comment_bytes = reader.number<uint16_t>("ZIP comment length");
  reader.take(8, "ZIP directory entry");
  uint64_t header_offset = reader.number<uint32_t>("ZIP header offset");
  CentralEntry entry;
  entry.name = reader.text(name_bytes, "ZIP entry name");
  const uint64_t extra_offset = reader.offset();
  apply_zip64(file, reader.take(extra_bytes, "ZIP extra fields"), extra_offset, uncompressed,
              compressed, header_offset);
  reader.take(comment_bytes, "ZIP entry comment");
  if (method != 0 || (flags & 1) != 0) {
    fail(ErrorCode::kUnsupported,
         "'{}': entry '{}' at byte {} is {}, but PyTorch stores entries as they are: save the file "
         "again with PyTorch",
         file.name, entry.name, at, method != 0 ? "compressed" : "encrypted");
  }
  if (compressed != uncompressed) damaged(file, "a stored ZIP entry with two sizes", at);
  entry.num_bytes = uncompressed;
  entry.header_offset = header_offset;
  return entry;
}

// The payload: its place depends on the lengths in the local header, nothing else there is trusted.
std::span<const std::byte> payload_of(const FileBytes& file, const CentralEntry& entry) {
  ByteReader reader(file.name, file.bytes, entry.header_offset);
  if (reader.number<uint32_t>("ZIP local header") != kLocalHeader) {
    damaged(file, fmt::format("no local header of entry '{}'", entry.name), entry.header_offset);
  }
  reader.take(22, "ZIP local header");
  const auto name_bytes = reader.number<uint16_t>("ZIP name length");
  const auto extra_bytes = reader.number<uint16_t>("ZIP extra length");
  reader.take(name_bytes, "ZIP entry name");
  reader.take(extra_bytes, "ZIP extra fields");
  return reader.take(entry.num_bytes, fmt::format("entry '{}'", entry.name));
}

}  // namespace

std::map<std::string, std::span<const std::byte>> read_zip_entries(const FileBytes& file) {
  const Directory directory = find_directory(file);
  std::map<std::string, std::span<const std::byte>> entries;
  ByteReader reader(file.name, file.bytes.first(directory.offset + directory.num_bytes),
                    directory.offset);
  for (uint64_t i = 0; i < directory.num_entries; ++i) {
    const uint64_t at = reader.offset();
    CentralEntry entry = read_central_entry(file, reader);
    const auto payload = payload_of(file, entry);
    if (!entries.emplace(std::move(entry.name), payload).second) {
      damaged(file, "a ZIP entry name occurs twice", at);
    }
  }
  return entries;
}

}  // namespace llava::checkpoint
