// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/request_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace llava::serve {
namespace {

namespace http = boost::beast::http;

/// Room that is made before anything has arrived: a length is only a promise.
constexpr uint64_t kFirstReserve = 64 * 1024;

}  // namespace

/// Chunked framing is the library's to read.
struct RequestBody::Chunks {
  http::request_parser<http::string_body> parser;
};

RequestBody::~RequestBody() = default;

RequestBody::RequestBody(const RequestHead& head, std::string_view head_bytes, uint64_t max_bytes,
                         bool is_gzip)
    : max_bytes_(max_bytes) {
  if (is_gzip && head.has_body()) gzip_ = std::make_unique<GzipReader>(max_bytes);
  if (!head.is_chunked) {
    length_ = head.content_length.value_or(0);
    is_done_ = length_ == 0;
    if (length_ > max_bytes_) refuse_size();
    bytes_.reserve(std::min(length_, kFirstReserve));
    return;
  }
  chunks_ = std::make_unique<Chunks>();
  chunks_->parser.eager(true);
  chunks_->parser.header_limit(kMaxHeadBytes);
  chunks_->parser.body_limit(max_bytes);
  boost::system::error_code error;
  chunks_->parser.put(boost::asio::buffer(head_bytes.data(), head_bytes.size()), error);
  if (error && error != http::error::need_more) {
    error_ = HeadError{400, fmt::format("the request is malformed: {}", error.message())};
  }
}

void RequestBody::refuse_size() {
  error_ = HeadError{413, fmt::format("the request's body is larger than {} bytes", max_bytes_)};
}

void RequestBody::take_plain(std::string_view bytes) {
  if (gzip_) {
    error_ = gzip_->push(bytes, bytes_);
  } else {
    bytes_ += bytes;
  }
}

void RequestBody::end() {
  if (error_) return;
  if (gzip_ && !gzip_->is_done()) {
    error_ = HeadError{400, "the request's body is a gzip file without its end"};
  }
  is_done_ = !error_;
}

std::size_t RequestBody::consume(std::string_view bytes) {
  if (is_done_ || error_ || bytes.empty()) return 0;
  if (!chunks_) {
    const auto count =
        static_cast<std::size_t>(std::min<uint64_t>(bytes.size(), length_ - num_plain_));
    num_plain_ += count;
    take_plain(bytes.substr(0, count));
    if (num_plain_ == length_) end();
    return count;
  }
  boost::system::error_code error;
  const std::size_t count =
      chunks_->parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  if (error == http::error::body_limit) {
    refuse_size();
  } else if (error && error != http::error::need_more) {
    error_ = HeadError{400, fmt::format("the request's body is malformed: {}", error.message())};
  }
  if (error_) return count;
  take_plain(chunks_->parser.get().body());
  chunks_->parser.get().body().clear();
  if (chunks_->parser.is_done()) end();
  return count;
}

}  // namespace llava::serve
