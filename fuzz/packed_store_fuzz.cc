// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as the header text of a packed store behind a head that is right, so that the checksum
// does not hide the reader of the text; and as a whole file.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "attempt.h"
#include "llava/checkpoint/packed_store.h"
#include "llava/checkpoint/packed_store_layout.h"

namespace {

using namespace llava::checkpoint;

void read_all(std::span<const std::byte> bytes) {
  attempt([&] {
    const PackedStore store({"fuzz", bytes, nullptr});
    for (const auto& entry : store.tensors()) attempt([&] { store.load(entry.first); });
    llava::ThreadPool pool(1);
    store.verify(pool);
  });
}

// The text in a file that ends one page behind it.
std::string sealed(std::span<const std::byte> text) {
  const uint64_t size = text.size();
  const uint64_t file_bytes = *store_aligned(kStoreHeadBytes + size) + kStoreAlignment;
  const auto alignment = static_cast<uint32_t>(kStoreAlignment);
  std::string file(file_bytes, '\0');
  std::memcpy(file.data(), kPackedStoreMagic.data(), kPackedStoreMagic.size());
  std::memcpy(file.data() + kStoreVersionAt, &kPackedStoreVersion, sizeof(kPackedStoreVersion));
  std::memcpy(file.data() + kStoreAlignmentAt, &alignment, sizeof(alignment));
  std::memcpy(file.data() + kStoreHeaderBytesAt, &size, sizeof(size));
  std::memcpy(file.data() + kStoreFileBytesAt, &file_bytes, sizeof(file_bytes));
  if (size > 0) std::memcpy(file.data() + kStoreHeadBytes, text.data(), size);
  const llava::Sha256 digest =
      store_header_checksum(std::as_bytes(std::span(file)).first(kStoreHeadBytes),
                            std::string_view(file).substr(kStoreHeadBytes, size));
  std::memcpy(file.data() + kStoreChecksumAt, digest.data(), digest.size());
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  read_all(bytes);
  const std::string file = sealed(bytes);
  read_all(std::as_bytes(std::span(file)));
  return 0;
}
