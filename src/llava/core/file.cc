// SPDX-License-Identifier: Apache-2.0
#include "llava/core/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "llava/core/error.h"

namespace llava {
namespace {

// O_NONBLOCK so that a FIFO in place of a file is an error and not a hang.
Descriptor open_to_read(const std::filesystem::path& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    fail(ErrorCode::kNotFound, "cannot open '{}': {}", path.string(), std::strerror(errno));
  }
  return file;
}

uint64_t regular_size(const Descriptor& file, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    const char* kind = S_ISDIR(status.st_mode) ? "a directory" : "not a regular file";
    fail(ErrorCode::kBadFormat, "'{}' is {}, expected a file", path.string(), kind);
  }
  return static_cast<uint64_t>(status.st_size);
}

}  // namespace

std::string read_file(const std::filesystem::path& path, uint64_t max_bytes) {
  return read_file(open_to_read(path), path, max_bytes);
}

std::string read_file(const Descriptor& file, const std::filesystem::path& path,
                      uint64_t max_bytes) {
  const uint64_t size = regular_size(file, path);
  if (size > max_bytes) {
    fail(ErrorCode::kBadFormat, "'{}' has {} bytes, expected at most {}", path.string(), size,
         max_bytes);
  }
  std::string content(size, '\0');
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t count = ::read(file.get(), content.data() + done, content.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      fail(ErrorCode::kBadFormat, "cannot read '{}': {}", path.string(), std::strerror(errno));
    }
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  content.resize(done);
  return content;
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  const std::filesystem::path temporary = path.string() + ".tmp-" + std::to_string(::getpid());
  {
    const Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (fd.get() < 0) {
      fail(ErrorCode::kNotFound, "cannot create '{}': {}", temporary.string(),
           std::strerror(errno));
    }
    std::size_t done = 0;
    while (done < content.size()) {
      const ssize_t count = ::write(fd.get(), content.data() + done, content.size() - done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        const int error = errno;
        ::unlink(temporary.c_str());
        fail(ErrorCode::kResourceExhausted, "cannot write '{}': {}", temporary.string(),
             std::strerror(error));
      }
      done += static_cast<std::size_t>(count);
    }
    if (::fsync(fd.get()) != 0) {
      const int error = errno;
      ::unlink(temporary.c_str());
      fail(ErrorCode::kResourceExhausted, "cannot write '{}': {}", temporary.string(),
           std::strerror(error));
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    fail(ErrorCode::kNotFound, "cannot rename '{}' to '{}': {}", temporary.string(), path.string(),
         std::strerror(error));
  }
}

MappedFile::MappedFile(std::filesystem::path path, const std::byte* data, std::size_t size)
    : path_(std::move(path)), data_(data), size_(size) {}

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const Descriptor file = open_to_read(path);
  const uint64_t size = regular_size(file, path);
  if (size == 0) return std::shared_ptr<const MappedFile>(new MappedFile(path, nullptr, 0));
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) {
    fail(ErrorCode::kResourceExhausted, "cannot map '{}' ({} bytes): {}", path.string(), size,
         std::strerror(errno));
  }
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, static_cast<const std::byte*>(data), size));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace llava
