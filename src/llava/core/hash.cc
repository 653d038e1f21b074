// SPDX-License-Identifier: Apache-2.0
#include "llava/core/hash.h"

#include <openssl/evp.h>

#include "llava/core/check.h"

namespace llava {

Sha256 sha256(std::span<const std::byte> bytes) {
  Sha256 digest{};
  unsigned int length = 0;
  const int ok =
      EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr);
  LLAVA_CHECK(ok == 1 && length == digest.size());
  return digest;
}

struct Sha256Stream::Digest {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                  &EVP_MD_CTX_free};

  Digest() { start(); }

  void start() {
    LLAVA_CHECK(context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1);
  }
};

Sha256Stream::Sha256Stream() : digest_(std::make_unique<Digest>()) {}
Sha256Stream::~Sha256Stream() = default;
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;
Sha256Stream& Sha256Stream::operator=(Sha256Stream&&) noexcept = default;

void Sha256Stream::update(std::span<const std::byte> bytes) {
  LLAVA_CHECK(EVP_DigestUpdate(digest_->context.get(), bytes.data(), bytes.size()) == 1);
}

Sha256 Sha256Stream::finish() {
  Sha256 result{};
  unsigned int length = 0;
  const int ok = EVP_DigestFinal_ex(digest_->context.get(), result.data(), &length);
  LLAVA_CHECK(ok == 1 && length == result.size());
  digest_->start();
  return result;
}

std::string to_hex(const Sha256& digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * digest.size());
  for (const unsigned char byte : digest) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

}  // namespace llava
