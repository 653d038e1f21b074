// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 of byte spans, for content keys and published pixel hashes.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace llava {

using Sha256 = std::array<unsigned char, 32>;

/// SHA-256 of `bytes`. Throws: Error(kInternal) if the library refuses. Threads: safe.
Sha256 sha256(std::span<const std::byte> bytes);

/// SHA-256 of bytes that come in parts.
///
/// Throws: Error(kInternal) if the library refuses.   Threads: one thread at a time.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;

  void update(std::span<const std::byte> bytes);
  /// Digest of everything so far; the stream starts again from nothing.
  Sha256 finish();

 private:
  struct Digest;
  std::unique_ptr<Digest> digest_;
};

/// Lower-case hexadecimal form, 64 characters.
std::string to_hex(const Sha256& digest);

}  // namespace llava
