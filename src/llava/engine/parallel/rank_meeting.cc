// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/parallel/rank_meeting.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <utility>

#include "llava/core/check.h"
#include "llava/core/error.h"
#include "llava/core/hmac.h"
#include "llava/core/json.h"
#include "llava/core/log.h"
#include "llava/core/version.h"

namespace llava::engine {
namespace {

using Clock = std::chrono::steady_clock;

// How long a stranger may take for its one message, and how long that may be.
constexpr std::chrono::seconds kHelloPatience{5};
constexpr uint64_t kMaxHelloBytes = 4096;
constexpr std::chrono::milliseconds kRetryPause{500};
// A machine that has vanished is noticed within 30 seconds.
constexpr int kKeepIdleSeconds = 10;
constexpr int kKeepIntervalSeconds = 5;
constexpr int kKeepProbes = 4;

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Addresses addresses_of(const RankMeeting& meeting, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(meeting.host.c_str(), std::to_string(meeting.port).c_str(), &hints, &found);
  if (error != 0) {
    fail(ErrorCode::kUnavailable, "--master-addr '{}': {}", meeting.host, ::gai_strerror(error));
  }
  return {found, &::freeaddrinfo};
}

// Frames are those of one version.
std::string program_version() { return fmt::format("{} ({})", kVersion, kRevision); }

Descriptor open_socket(const addrinfo& address) {
  Descriptor socket(::socket(address.ai_family, address.ai_socktype, address.ai_protocol));
  if (socket.get() >= 0) ::fcntl(socket.get(), F_SETFD, FD_CLOEXEC);
  return socket;
}

void set_option(const Descriptor& socket, int level, int name, int value) {
  ::setsockopt(socket.get(), level, name, &value, sizeof(value));
}

RankLink to_link(Descriptor socket) {
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
#ifdef TCP_KEEPIDLE
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, kKeepIdleSeconds);
#else
  set_option(socket, IPPROTO_TCP, TCP_KEEPALIVE, kKeepIdleSeconds);
#endif
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, kKeepIntervalSeconds);
  set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, kKeepProbes);
  return RankLink(std::move(socket));
}

void send_json(RankLink& link, const Json& message) {
  const std::string text = to_text(message);
  link.send(FrameKind::kHello, std::as_bytes(std::span(text)));
}

std::string receive_text(RankLink& link, std::chrono::seconds patience) {
  std::vector<std::byte> bytes;
  if (link.receive(bytes, patience, kMaxHelloBytes) != FrameKind::kHello) {
    fail(ErrorCode::kBadFormat, "expected the message of a rank that joins");
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// What the first rank says: it may have others to hear before.
Json receive_object(RankLink& link, const RankMeeting& meeting) {
  Json message = parse_json(receive_text(link, meeting.patience), "the message of the first rank");
  if (!message.is_object()) fail(ErrorCode::kBadFormat, "expected an object");
  return message;
}

std::string text_of(const Json& message, const char* name) {
  const auto value = message.find(name);
  if (value == message.end() || !value->is_string()) {
    fail(ErrorCode::kBadFormat, "the message of a rank has no text '{}'", name);
  }
  return value->get<std::string>();
}

int32_t number_of(const Json& message, const char* name) {
  const auto value = message.find(name);
  if (value == message.end() || !value->is_number_integer() || *value < 0 || *value > 1 << 20) {
    fail(ErrorCode::kBadFormat, "the message of a rank has no number '{}'", name);
  }
  return value->get<int32_t>();
}

// What the one that joins proves, and what the first rank does.
std::string joiner_proof(const std::string& secret, const std::string& nonce,
                         const RankHello& hello) {
  return to_hex(hmac_sha256(secret, fmt::format("join\n{}\n{}\n{}\n{}\n{}", nonce, hello.nonce,
                                                hello.rank, hello.num_ranks, hello.version)));
}

std::string leader_proof(const std::string& secret, const std::string& nonce,
                         const RankHello& hello) {
  return to_hex(hmac_sha256(secret, fmt::format("lead\n{}\n{}", hello.nonce, nonce)));
}

// Why this rank cannot be taken; empty: it can.
std::string objection(const RankHello& hello, const std::string& nonce, const std::string& secret,
                      int32_t first_rank, const std::vector<std::optional<RankLink>>& joined) {
  if (!are_equal_secrets(hello.proof, joiner_proof(secret, nonce, hello))) {
    return "its secret (LLAVA_RANK_SECRET) is another one";
  }
  const int32_t num_ranks = first_rank + static_cast<int32_t>(joined.size());
  if (hello.version != program_version()) {
    return fmt::format("it runs version {}, and the first rank {}", hello.version,
                       program_version());
  }
  if (hello.num_ranks != num_ranks) {
    return fmt::format("it was started with --tp {}, and the first rank with --tp {}",
                       hello.num_ranks, num_ranks);
  }
  if (hello.rank < first_rank || hello.rank >= num_ranks) {
    return fmt::format(
        "rank {} runs on the first rank's machine: --nnodes and --node-rank do not "
        "agree on all machines",
        hello.rank);
  }
  if (joined[static_cast<std::size_t>(hello.rank - first_rank)]) {
    return fmt::format("rank {} has joined before: two machines have the same --node-rank",
                       hello.rank);
  }
  return {};
}

// Takes the rank behind a connection among those that have joined.
void greet(RankLink link, const std::string& secret, int32_t first_rank,
           std::vector<std::optional<RankLink>>& joined) {
  const std::string nonce = fresh_nonce();
  send_json(link, {{"llava_ranks", 1}, {"nonce", nonce}});
  const RankHello hello = parse_rank_hello(receive_text(link, kHelloPatience));
  const std::string why = objection(hello, nonce, secret, first_rank, joined);
  if (!why.empty()) {
    send_json(link, {{"refused", why}});
    fail(ErrorCode::kInvalidArgument, "{}", why);
  }
  send_json(link, {{"proof", leader_proof(secret, nonce, hello)}});
  joined[static_cast<std::size_t>(hello.rank - first_rank)] = std::move(link);
}

// Waits for a connection; false when the time is over.
bool wait_for_connection(const Descriptor& socket, Clock::time_point deadline) {
  pollfd entry{.fd = socket.get(), .events = POLLIN, .revents = 0};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    const int ready = ::poll(&entry, 1, static_cast<int>(left));
    if (ready > 0) return true;
    LLAVA_CHECK(ready == 0 || errno == EINTR, "poll: {}", std::strerror(errno));
  }
}

std::optional<Descriptor> connect_once(const RankMeeting& meeting) {
  const Addresses addresses = addresses_of(meeting, 0);
  for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
    Descriptor socket = open_socket(*address);
    if (socket.get() >= 0 && ::connect(socket.get(), address->ai_addr, address->ai_addrlen) == 0) {
      return socket;
    }
  }
  return std::nullopt;
}

}  // namespace

RankHello parse_rank_hello(std::string_view text) {
  const Json message = parse_json(text, "the message of a rank");
  if (!message.is_object()) fail(ErrorCode::kBadFormat, "the message of a rank is no object");
  return {.rank = number_of(message, "rank"),
          .num_ranks = number_of(message, "ranks"),
          .version = text_of(message, "version"),
          .nonce = text_of(message, "nonce"),
          .proof = text_of(message, "proof")};
}

RankListener::RankListener(RankMeeting meeting) : meeting_(std::move(meeting)), socket_(-1) {
  const Addresses addresses = addresses_of(meeting_, AI_PASSIVE);
  int error = 0;
  for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
    Descriptor socket = open_socket(*address);
    if (socket.get() >= 0) {
      // A group that starts again finds the port of the one before.
      set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
      // A connection that is given up again before it is taken is not waited for.
      ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
      if (::bind(socket.get(), address->ai_addr, address->ai_addrlen) == 0 &&
          ::listen(socket.get(), SOMAXCONN) == 0) {
        socket_ = std::move(socket);
        return;
      }
    }
    error = errno;
  }
  fail(ErrorCode::kUnavailable,
       "cannot listen for the ranks of other machines on {}:{}: {}; --master-addr is an address of "
       "the machine with --node-rank 0",
       meeting_.host, meeting_.port, std::strerror(error));
}

uint16_t RankListener::port() const {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  LLAVA_CHECK(::getsockname(socket_.get(), generic, &size) == 0);
  const bool is_v6 = address.ss_family == AF_INET6;
  return ntohs(is_v6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                     : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

std::vector<RankLink> RankListener::admit(int32_t first_rank, int32_t num_ranks) {
  std::vector<std::optional<RankLink>> joined(static_cast<std::size_t>(num_ranks - first_rank));
  const Clock::time_point deadline = Clock::now() + meeting_.patience;
  while (!std::ranges::all_of(joined, [](const auto& link) { return link.has_value(); })) {
    if (!wait_for_connection(socket_, deadline)) {
      std::string missing;
      for (std::size_t i = 0; i < joined.size(); ++i) {
        if (joined[i]) continue;
        missing += fmt::format("{}{}", missing.empty() ? "" : ", ", first_rank + i);
      }
      fail(ErrorCode::kUnavailable,
           "of {} ranks these have not joined on {}:{} within {} seconds: {}. Start the other "
           "machines with the same flags and their --node-rank",
           num_ranks, meeting_.host, port(), meeting_.patience.count(), missing);
    }
    Descriptor connection(::accept(socket_.get(), nullptr, nullptr));
    if (connection.get() < 0) continue;  // it was given up meanwhile
    ::fcntl(connection.get(), F_SETFD, FD_CLOEXEC);
    try {
      greet(to_link(std::move(connection)), meeting_.secret, first_rank, joined);
    } catch (const Error& error) {
      log_warning("rank_refused", {{"why", error.what()}});
    }
  }
  std::vector<RankLink> links;
  for (std::optional<RankLink>& link : joined) links.push_back(*std::move(link));
  return links;
}

RankLink join_ranks(const RankMeeting& meeting, const model::ModelShare& share) {
  const Clock::time_point deadline = Clock::now() + meeting.patience;
  std::optional<Descriptor> socket = connect_once(meeting);
  while (!socket) {
    if (Clock::now() >= deadline) {
      fail(ErrorCode::kUnavailable,
           "the first rank of the model has not listened on {}:{} for {} seconds: start it there "
           "with --node-rank 0",
           meeting.host, meeting.port, meeting.patience.count());
    }
    std::this_thread::sleep_for(kRetryPause);
    socket = connect_once(meeting);
  }
  RankLink link = to_link(*std::move(socket));
  const std::string nonce = text_of(receive_object(link, meeting), "nonce");
  RankHello hello{.rank = share.rank,
                  .num_ranks = share.num_ranks,
                  .version = program_version(),
                  .nonce = fresh_nonce(),
                  .proof = {}};
  hello.proof = joiner_proof(meeting.secret, nonce, hello);
  send_json(link, {{"rank", hello.rank},
                   {"ranks", hello.num_ranks},
                   {"version", hello.version},
                   {"nonce", hello.nonce},
                   {"proof", hello.proof}});
  const Json answer = receive_object(link, meeting);
  if (answer.contains("refused")) {
    fail(ErrorCode::kInvalidArgument, "the first rank on {}:{} refuses rank {}: {}", meeting.host,
         meeting.port, share.rank, text_of(answer, "refused"));
  }
  if (!are_equal_secrets(text_of(answer, "proof"), leader_proof(meeting.secret, nonce, hello))) {
    fail(ErrorCode::kInvalidArgument,
         "what listens on {}:{} does not know the secret (LLAVA_RANK_SECRET): it is not the first "
         "rank of this model",
         meeting.host, meeting.port);
  }
  return link;
}

}  // namespace llava::engine
