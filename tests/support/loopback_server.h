// SPDX-License-Identifier: Apache-2.0
//
// A tiny HTTP server on a free port of the loopback interface, for tests of what fetches.
#pragma once

#include <functional>
#include <string>
#include <thread>

namespace llava::testing {

/// Answers every request, its body read, with what the handler returns, one connection after the
/// other.
///
/// Threads: the handler runs on the server's thread.
class LoopbackServer {
 public:
  /// Gets the path of a request ("/cat.png"), gives the whole answer, head included.
  using Handler = std::function<std::string(const std::string& path)>;

  /// Throws: std::system_error when it cannot listen.
  explicit LoopbackServer(Handler handler);
  ~LoopbackServer();
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  /// "http://127.0.0.1:PORT" + path.
  std::string address(const std::string& path) const;

 private:
  void serve();
  void answer(int connection) const;

  Handler handler_;
  int listener_ = -1;
  int wake_reader_ = -1;
  int wake_writer_ = -1;
  int port_ = 0;
  std::jthread thread_;
};

/// An HTTP answer with a body.
std::string http_answer(const std::string& status, const std::string& body,
                        const std::string& extra_header = {});

}  // namespace llava::testing
