// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/batch/batch_output.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"

namespace llava::engine {
namespace {

constexpr auto kFlushInterval = std::chrono::seconds(5);
// How every record begins, so that a file of anything else is recognised before it is cut.
constexpr std::string_view kBeginning = R"({"index":)";

}  // namespace

BatchOutput::BatchOutput(std::filesystem::path path, const OnRecord& on_record)
    : path_(std::move(path)),
      fd_(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644)),
      last_flush_(std::chrono::steady_clock::now()) {
  if (fd_ < 0) {
    fail(ErrorCode::kNotFound, "cannot open '{}' for the answers: {}", path_.string(),
         std::strerror(errno));
  }
  try {
    lock();
    read_records(on_record);
    if (has_torn_end_ && ::ftruncate(fd_, num_bytes_) != 0) {
      fail(ErrorCode::kNotFound, "cannot remove the torn end of '{}': {}", path_.string(),
           std::strerror(errno));
    }
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

BatchOutput::~BatchOutput() { ::close(fd_); }

void BatchOutput::lock() {
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  if (errno != EWOULDBLOCK) return;  // a file system without locks
  fail(ErrorCode::kUnavailable, "another process writes '{}': wait for it, or name another file",
       path_.string());
}

void BatchOutput::read_records(const OnRecord& on_record) {
  const auto file = MappedFile::open(path_);
  const auto bytes = file->bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) {
      check_tail(text.substr(begin));
      has_torn_end_ = true;
      break;
    }
    const std::string source = fmt::format("{}:{}", path_.string(), num_records_ + 1);
    const Json record = parse_json(text.substr(begin, end - begin), source);
    if (JsonObject(record, source).get_int("index") != num_records_) {
      fail(ErrorCode::kBadFormat,
           "{}: not the record of index {}, so this file cannot be continued: name another one",
           source, num_records_);
    }
    if (on_record) on_record(record);
    ++num_records_;
    begin = end + 1;
  }
  num_bytes_ = static_cast<int64_t>(begin);
}

// A torn line of ours, or zeros that a loss of power left; never the end of another kind of file.
void BatchOutput::check_tail(std::string_view tail) const {
  const bool is_zeros = tail.find_first_not_of('\0') == std::string_view::npos;
  const std::string_view start = tail.substr(0, kBeginning.size());
  if (is_zeros || kBeginning.starts_with(start)) return;
  fail(ErrorCode::kBadFormat,
       "'{}' ends with something that is no record of a batch: name another file", path_.string());
}

void BatchOutput::append(std::string_view line) {
  const std::string record = std::string(line) + '\n';
  std::size_t done = 0;
  while (done < record.size()) {
    const ssize_t count = ::write(fd_, record.data() + done, record.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;
      const bool is_whole = ::ftruncate(fd_, num_bytes_) == 0;
      fail(ErrorCode::kResourceExhausted, "cannot write '{}': {}; its first {} records are {}",
           path_.string(), std::strerror(error), num_records_,
           is_whole ? "whole, make room and start again to go on" : "followed by a torn one");
    }
    done += static_cast<std::size_t>(count);
  }
  ++num_records_;
  num_bytes_ += static_cast<int64_t>(record.size());
  is_flushed_ = false;
  if (std::chrono::steady_clock::now() - last_flush_ > kFlushInterval) flush();
}

void BatchOutput::flush() {
  if (is_flushed_) return;
  if (::fdatasync(fd_) != 0 && errno != EINVAL && errno != EROFS) {
    fail(ErrorCode::kResourceExhausted, "cannot write '{}': {}", path_.string(),
         std::strerror(errno));
  }
  is_flushed_ = true;
  last_flush_ = std::chrono::steady_clock::now();
}

}  // namespace llava::engine
