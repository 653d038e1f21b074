// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/gzip_reader.h"

#include <fmt/format.h>

#include <array>
#include <boost/beast/zlib/inflate_stream.hpp>
#include <boost/crc.hpp>
#include <utility>

namespace llava::serve {
namespace {

namespace zlib = boost::beast::zlib;

constexpr std::size_t kFixedHeadBytes = 10;
constexpr std::size_t kTrailerBytes = 8;
/// A head has room for a name and a comment, which nobody needs here.
constexpr std::size_t kMaxGzipHeadBytes = 4096;
constexpr std::size_t kPieceBytes = 32 * 1024;

constexpr uint8_t kHasHeadCrc = 2, kHasExtra = 4, kHasName = 8, kHasComment = 16, kReserved = 0xE0;

HeadError damaged(std::string_view what) {
  return {400, fmt::format("the request's body is no gzip file: {}", what)};
}

uint8_t byte_at(std::string_view bytes, std::size_t at) { return static_cast<uint8_t>(bytes[at]); }

uint32_t read_u32(std::string_view bytes) {
  return uint32_t{byte_at(bytes, 0)} | uint32_t{byte_at(bytes, 1)} << 8 |
         uint32_t{byte_at(bytes, 2)} << 16 | uint32_t{byte_at(bytes, 3)} << 24;
}

/// Length of the head that `bytes` begin with; nothing while it is not all there.
std::optional<std::size_t> head_size(std::string_view bytes) {
  const uint8_t flags = byte_at(bytes, 3);
  std::size_t size = kFixedHeadBytes;
  if ((flags & kHasExtra) != 0) {
    if (bytes.size() < size + 2) return std::nullopt;
    size += 2 + std::size_t{byte_at(bytes, size)} + (std::size_t{byte_at(bytes, size + 1)} << 8);
  }
  for (const uint8_t text : {kHasName, kHasComment}) {
    if ((flags & text) == 0) continue;
    const std::size_t end = size < bytes.size() ? bytes.find('\0', size) : std::string_view::npos;
    if (end == std::string_view::npos) return std::nullopt;
    size = end + 1;
  }
  if ((flags & kHasHeadCrc) != 0) size += 2;
  if (bytes.size() < size) return std::nullopt;
  return size;
}

}  // namespace

struct GzipReader::Inflater {
  zlib::inflate_stream stream;
  boost::crc_32_type crc;
  std::array<char, kPieceBytes> piece;
};

GzipReader::GzipReader(uint64_t max_bytes)
    : max_bytes_(max_bytes), inflater_(std::make_unique<Inflater>()) {}
GzipReader::~GzipReader() = default;

std::optional<HeadError> GzipReader::push(std::string_view bytes, std::string& out) {
  if (bytes.empty()) return std::nullopt;
  if (is_done()) return damaged("something follows its end");
  num_packed_ += bytes.size();
  in_ += bytes;
  std::optional<HeadError> error;
  if (stage_ == Stage::kHead) error = read_head();
  if (!error && stage_ == Stage::kData) error = read_data(out);
  if (!error && stage_ == Stage::kTrailer) error = read_trailer();
  return error;
}

std::optional<HeadError> GzipReader::read_head() {
  static constexpr std::string_view kBegin = "\x1f\x8b\x08";
  if (!kBegin.starts_with(std::string_view(in_).substr(0, kBegin.size()))) {
    return damaged("it does not begin as one");
  }
  if (in_.size() < kFixedHeadBytes) return std::nullopt;
  if ((byte_at(in_, 3) & kReserved) != 0) return damaged("its flags are not known");
  const auto size = head_size(in_);
  if (size.value_or(in_.size()) > kMaxGzipHeadBytes) return damaged("its head is too large");
  if (!size) return std::nullopt;
  in_.erase(0, *size);
  stage_ = Stage::kData;
  return std::nullopt;
}

std::optional<HeadError> GzipReader::read_data(std::string& out) {
  Inflater& inflater = *inflater_;
  zlib::z_params params;
  params.next_in = in_.data();
  params.avail_in = in_.size();
  boost::system::error_code error;
  do {
    params.next_out = inflater.piece.data();
    params.avail_out = inflater.piece.size();
    inflater.stream.write(params, zlib::Flush::sync, error);
    const std::size_t count = inflater.piece.size() - params.avail_out;
    num_unpacked_ += count;
    if (num_unpacked_ > max_bytes_) {
      return HeadError{
          413, fmt::format("the request's body is larger than {} bytes, unpacked", max_bytes_)};
    }
    if (num_unpacked_ > kMaxGzipRatio * num_packed_) {
      return HeadError{413, fmt::format("the request's body has more than {} times the bytes that "
                                        "were sent: send it unpacked",
                                        kMaxGzipRatio)};
    }
    inflater.crc.process_bytes(inflater.piece.data(), count);
    out.append(inflater.piece.data(), count);
  } while (!error && params.avail_out == 0);
  in_.erase(0, in_.size() - params.avail_in);
  if (error == zlib::error::end_of_stream) {
    stage_ = Stage::kTrailer;
  } else if (error && error != zlib::error::need_buffers) {
    return damaged(error.message());
  }
  return std::nullopt;
}

std::optional<HeadError> GzipReader::read_trailer() {
  if (in_.size() < kTrailerBytes) return std::nullopt;
  if (in_.size() > kTrailerBytes) return damaged("something follows its end");
  if (read_u32(in_) != inflater_->crc.checksum()) return damaged("its checksum is wrong");
  if (read_u32(std::string_view(in_).substr(4)) != static_cast<uint32_t>(num_unpacked_)) {
    return damaged("its length is wrong");
  }
  stage_ = Stage::kDone;
  return std::nullopt;
}

}  // namespace llava::serve
