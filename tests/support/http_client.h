// SPDX-License-Identifier: Apache-2.0
//
// A client that sends exactly the bytes it is told to, for tests of HTTP servers.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace llava::testing {

/// An answer as it came, chunks joined.
struct HttpReply {
  int status = 0;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
};

/// One connection to the loopback interface. Waiting too long throws std::runtime_error.
///
/// Threads: one thread at a time.
class HttpClient {
 public:
  explicit HttpClient(int port);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Sends all of it; a server that has closed is no error.
  void send(std::string_view bytes);
  /// The next answer; `has_body` is false for answers to HEAD. Nothing when the server closes
  /// before one begins.
  std::optional<HttpReply> read_reply(bool has_body = true);
  /// Reads until `text` has come; what came up to its end.
  std::string read_until(std::string_view text);
  /// Whether the server closes the connection with nothing more to say.
  bool is_closed_by_server();
  void shut_down_sending();
  void close();

 private:
  bool receive();

  int socket_ = -1;
  std::string in_;
};

/// Sends one request on a connection of its own.
HttpReply http_get(int port, const std::string& path, const std::string& extra_headers = {});
HttpReply http_post(int port, const std::string& path, const std::string& body,
                    const std::string& extra_headers = {});

/// The bytes of a POST with a JSON body.
std::string post_bytes(const std::string& path, const std::string& body,
                       const std::string& extra_headers = {});

}  // namespace llava::testing
