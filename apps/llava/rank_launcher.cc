// SPDX-License-Identifier: Apache-2.0
#include "rank_launcher.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/core/program_path.h"
#include "process_group.h"

namespace llava::app {
namespace {

// A port of this machine that is free now.
uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool is_bound = fd >= 0 && ::bind(fd, generic, sizeof(address)) == 0 &&
                        ::getsockname(fd, generic, &size) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!is_bound) {
    fail(ErrorCode::kUnavailable, "no port for the ranks to meet at: {}", std::strerror(error));
  }
  return ntohs(address.sin_port);
}

std::vector<std::string> environment_of(int32_t rank, int32_t num_ranks, uint16_t port) {
  return {fmt::format("RANK={}", rank),
          fmt::format("LOCAL_RANK={}", rank),
          fmt::format("WORLD_SIZE={}", num_ranks),
          fmt::format("LOCAL_WORLD_SIZE={}", num_ranks),
          "MASTER_ADDR=127.0.0.1",
          fmt::format("MASTER_PORT={}", port)};
}

}  // namespace

bool is_rank() {
  const char* rank = std::getenv("RANK");
  return rank != nullptr && *rank != '\0';
}

bool is_first_rank() {
  const char* rank = std::getenv("RANK");
  return rank != nullptr && std::string_view(rank) == "0";
}

int run_ranks(int32_t num_ranks, const Arguments& arguments) {
  const uint16_t port = free_port();
  ProcessGroup ranks;
  for (int32_t rank = 0; rank < num_ranks; ++rank) {
    ranks.start({.name = fmt::format("rank {} of {}", rank, num_ranks),
                 .arguments = arguments,
                 .environment = environment_of(rank, num_ranks, port)});
  }
  const bool is_interrupted = ranks.wait();
  if (!ranks.failed()) return 0;
  const std::size_t rank = *ranks.failed();
  const int status = ranks.status(rank);
  if (WIFEXITED(status)) {
    const int exit_status = WEXITSTATUS(status);
    if (is_interrupted && exit_status == kExitInterrupted) return kExitInterrupted;
    if (exit_status == kExitNotStarted) {
      fail(ErrorCode::kUnavailable, "rank {} of {} cannot be started from '{}'", rank, num_ranks,
           program_path().string());
    }
    log_error("rank_failed", {{"rank", std::to_string(rank)}, {"of", std::to_string(num_ranks)}});
    return exit_status;
  }
  fail(ErrorCode::kUnavailable,
       "rank {} of {} (process {}) was killed by signal {} ({}), and the others were ended: start "
       "again to go on from the newest checkpoint",
       rank, num_ranks, ranks.process(rank), WTERMSIG(status), ::strsignal(WTERMSIG(status)));
}

}  // namespace llava::app
