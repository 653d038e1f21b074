// SPDX-License-Identifier: Apache-2.0
//
// Descriptor: an open file of the operating system, closed when it is let go of.
#pragma once

#include <unistd.h>

#include <utility>

namespace llava {

class Descriptor {
 public:
  /// Takes it over; negative: none.
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace llava
