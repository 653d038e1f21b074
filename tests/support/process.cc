// SPDX-License-Identifier: Apache-2.0
#include "support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

namespace llava::testing {
namespace {

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

struct Pipe {
  int reader = -1;
  int writer = -1;

  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe");
    reader = ends[0];
    writer = ends[1];
  }
};

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    if (!added.contains(text.substr(0, text.find('=')))) result.push_back(text);
  }
  for (const auto& [name, value] : added) result.push_back(name + "=" + value);
  return result;
}

void close_if_open(int& descriptor) {
  if (descriptor >= 0) ::close(descriptor);
  descriptor = -1;
}

}  // namespace

Process::Process(const ProcessRequest& request)
    : deadline_(std::chrono::steady_clock::now() + request.timeout) {
  ::signal(SIGPIPE, SIG_IGN);
  // Everything the child needs is made before the fork: afterwards only system calls are safe.
  std::vector<std::string> arguments = request.arguments;
  std::vector<std::string> environment = merged_environment(request.environment);
  const std::vector<char*> argv = pointers(arguments);
  const std::vector<char*> envp = pointers(environment);
  if (request.has_terminal) {
    struct winsize size {};
    size.ws_row = 24;
    size.ws_col = 200;
    pid_ = ::forkpty(&output_, nullptr, nullptr, &size);
    if (pid_ < 0) throw_errno("forkpty");
    if (pid_ == 0) {
      ::signal(SIGPIPE, SIG_DFL);
      ::execve(argv[0], argv.data(), envp.data());
      ::_exit(127);
    }
    input_ = ::fcntl(output_, F_DUPFD_CLOEXEC, 0);
  } else {
    const Pipe in, out, err;
    pid_ = ::fork();
    if (pid_ < 0) throw_errno("fork");
    if (pid_ == 0) {
      ::dup2(in.reader, STDIN_FILENO);
      ::dup2(out.writer, STDOUT_FILENO);
      ::dup2(err.writer, STDERR_FILENO);
      ::signal(SIGPIPE, SIG_DFL);
      ::execve(argv[0], argv.data(), envp.data());
      ::_exit(127);
    }
    ::close(in.reader);
    ::close(out.writer);
    ::close(err.writer);
    input_ = in.writer;
    output_ = out.reader;
    errors_ = err.reader;
  }
  ::fcntl(input_, F_SETFL, ::fcntl(input_, F_GETFL) | O_NONBLOCK);
}

Process::~Process() {
  close_if_open(input_);
  close_if_open(output_);
  close_if_open(errors_);
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
}

bool Process::read_from(int& descriptor, std::string& text) {
  std::array<char, 65536> buffer;
  const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
  if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
  // A terminal whose other side is closed answers with EIO.
  const bool is_open = count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN));
  if (!is_open) close_if_open(descriptor);
  return is_open;
}

bool Process::pump(bool wants_to_write) {
  if (output_ < 0 && errors_ < 0) return false;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline_ - std::chrono::steady_clock::now());
  if (left.count() <= 0) {
    result_.has_timed_out = true;
    return false;
  }
  std::array<pollfd, 3> waits{pollfd{output_, POLLIN, 0}, pollfd{errors_, POLLIN, 0},
                              pollfd{wants_to_write ? input_ : -1, POLLOUT, 0}};
  if (::poll(waits.data(), waits.size(), static_cast<int>(left.count())) < 0) return true;
  if (waits[0].revents != 0) read_from(output_, result_.out);
  if (waits[1].revents != 0) read_from(errors_, result_.err);
  return true;
}

void Process::write(std::string_view text) {
  while (!text.empty() && input_ >= 0) {
    const ssize_t count = ::write(input_, text.data(), text.size());
    if (count > 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN || errno == EINTR) {
      if (!pump(/*wants_to_write=*/true)) return;
    } else {
      close_if_open(input_);
    }
  }
}

void Process::close_input() { close_if_open(input_); }

bool Process::wait_for_output(std::string_view text) {
  for (;;) {
    const std::size_t at = result_.out.find(text, num_found_);
    if (at != std::string::npos) {
      num_found_ = at + text.size();
      return true;
    }
    if (!pump(/*wants_to_write=*/false)) return false;
  }
}

void Process::send_signal(int number) { ::kill(pid_, number); }

int64_t Process::resident_bytes() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/statm");
  int64_t num_mapped_pages = 0;
  int64_t num_resident_pages = 0;
  file >> num_mapped_pages >> num_resident_pages;
  return num_resident_pages * ::sysconf(_SC_PAGESIZE);
}

ProcessResult Process::finish() {
  close_input();
  while (pump(/*wants_to_write=*/false)) {
  }
  if (result_.has_timed_out) ::kill(pid_, SIGKILL);
  int status = 0;
  struct rusage usage {};
  ::wait4(pid_, &status, 0, &usage);
  pid_ = -1;
  result_.peak_bytes = static_cast<int64_t>(usage.ru_maxrss) * 1024;
  result_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return std::move(result_);
}

ProcessResult run_process(const ProcessRequest& request, std::string_view input) {
  Process process(request);
  process.write(input);
  return process.finish();
}

}  // namespace llava::testing
