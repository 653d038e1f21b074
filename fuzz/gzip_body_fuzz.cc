// SPDX-License-Identifier: Apache-2.0
//
// Packed request bodies: what comes of one depends neither on how its bytes arrive nor grows beyond
// the bounds.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "llava/serve/http/gzip_reader.h"

namespace {

constexpr uint64_t kMaxBytes = 64 * 1024;
/// What a piece may give before it is looked at.
constexpr uint64_t kSlack = 32 * 1024;

/// Status (0: whole, 1: more is wanted) and text.
std::pair<int, std::string> unpack(std::string_view bytes, std::size_t step) {
  llava::serve::GzipReader reader(kMaxBytes);
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const std::string_view piece = bytes.substr(at, step);
    const auto error = reader.push(piece, out);
    if (out.size() > kMaxBytes ||
        out.size() > llava::serve::kMaxGzipRatio * bytes.size() + kSlack) {
      std::abort();
    }
    // How much of a damaged file can be read depends on where it is cut; that it is refused, not.
    if (error) return {error->status == 413 ? 400 : error->status, {}};
  }
  return {reader.is_done() ? 0 : 1, std::move(out)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto in_pieces = unpack(bytes, data[0] % 61 + 1);
  const auto whole = unpack(bytes, bytes.size() + 1);
  // The ratio is that of what has come, which is least when all has come: pieces may be refused
  // earlier, and only they.
  if (in_pieces.first == 400 && whole.first != 400) return 0;
  if (in_pieces.first != whole.first) std::abort();
  if (whole.first == 0 && in_pieces.second != whole.second) std::abort();
  return 0;
}
