// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/parallel/rank_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

struct FrameHead {
  uint32_t kind;
  uint32_t reserved;
  uint64_t num_bytes;
};

[[noreturn]] void fail_gone() {
  fail(ErrorCode::kUnavailable, "another rank of the model has ended: see what it said");
}

}  // namespace

std::pair<RankLink, RankLink> RankLink::pair() {
  std::array<int, 2> sockets{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0) {
    fail(ErrorCode::kUnavailable, "no socket between two ranks: {}", std::strerror(errno));
  }
  return {RankLink(Descriptor(sockets[0])), RankLink(Descriptor(sockets[1]))};
}

void RankLink::wait_for(short events, std::optional<std::chrono::seconds> limit) const {
  pollfd entry{.fd = socket_.get(), .events = events, .revents = 0};
  const int milliseconds = limit ? static_cast<int>(std::chrono::milliseconds(*limit).count()) : -1;
  int ready = 0;
  do {
    ready = ::poll(&entry, 1, milliseconds);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    fail(ErrorCode::kUnavailable, "another rank of the model has not answered for {} seconds",
         limit->count());
  }
}

void RankLink::send(FrameKind kind, std::span<const std::byte> bytes) {
  FrameHead head{.kind = static_cast<uint32_t>(kind), .reserved = 0, .num_bytes = bytes.size()};
  std::array<iovec, 2> parts{iovec{&head, sizeof(head)},
                             // sendmsg does not write to it.
                             iovec{const_cast<std::byte*>(bytes.data()), bytes.size()}};
  std::size_t first = 0;
  while (first < parts.size()) {
    msghdr message{};
    message.msg_iov = parts.data() + first;
    message.msg_iovlen = parts.size() - first;
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) fail_gone();
      wait_for(POLLOUT, kRankPatience);
      continue;
    }
    auto left = static_cast<std::size_t>(sent);
    while (first < parts.size() && left >= parts[first].iov_len) left -= parts[first++].iov_len;
    if (first < parts.size()) {
      parts[first].iov_base = static_cast<std::byte*>(parts[first].iov_base) + left;
      parts[first].iov_len -= left;
    }
  }
}

void RankLink::read(std::span<std::byte> bytes, std::optional<std::chrono::seconds> limit) {
  while (!bytes.empty()) {
    const ssize_t count = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      fail_gone();
    } else if (errno == EAGAIN) {
      wait_for(POLLIN, limit);
    }
  }
}

FrameKind RankLink::receive(std::vector<std::byte>& bytes,
                            std::optional<std::chrono::seconds> limit, uint64_t max_bytes) {
  FrameHead head{};
  read(std::as_writable_bytes(std::span(&head, 1)), limit);
  if (head.kind > static_cast<uint32_t>(FrameKind::kHello) || head.num_bytes > max_bytes) {
    fail(ErrorCode::kBadFormat, "another rank sent frame {} of {} bytes, which is none", head.kind,
         head.num_bytes);
  }
  bytes.resize(static_cast<std::size_t>(head.num_bytes));
  // What has begun to arrive comes at once.
  read(bytes, kRankPatience);
  return static_cast<FrameKind>(head.kind);
}

void RankLink::shut_down() const { ::shutdown(socket_.get(), SHUT_RDWR); }

}  // namespace llava::engine
