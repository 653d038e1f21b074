// SPDX-License-Identifier: Apache-2.0
#include "llava/core/hmac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "llava/core/check.h"

namespace llava {

Sha256 hmac_sha256(std::string_view key, std::string_view message) {
  Sha256 digest{};
  unsigned int length = 0;
  const unsigned char* result = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                                     reinterpret_cast<const unsigned char*>(message.data()),
                                     message.size(), digest.data(), &length);
  LLAVA_CHECK(result != nullptr && length == digest.size());
  return digest;
}

bool are_equal_secrets(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string fresh_nonce() {
  Sha256 bytes{};
  LLAVA_CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1);
  return to_hex(bytes);
}

}  // namespace llava
