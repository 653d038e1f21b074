// SPDX-License-Identifier: Apache-2.0
#include "support/http_client.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <stdexcept>
#include <system_error>

namespace llava::testing {
namespace {

/// Far beyond what any answer of a test takes.
constexpr int kTimeoutMs = 60'000;

std::size_t parse_number(std::string_view text, int base) {
  std::size_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

}  // namespace

HttpClient::HttpClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  place.sin_port = htons(static_cast<uint16_t>(port));
  if (socket_ < 0 || ::connect(socket_, reinterpret_cast<sockaddr*>(&place), sizeof place) != 0) {
    throw std::system_error(errno, std::generic_category(), "connect");
  }
}

HttpClient::~HttpClient() { close(); }

void HttpClient::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

void HttpClient::shut_down_sending() { ::shutdown(socket_, SHUT_WR); }

void HttpClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

bool HttpClient::receive() {
  pollfd wait{socket_, POLLIN, 0};
  const int ready = ::poll(&wait, 1, kTimeoutMs);
  if (ready == 0) throw std::runtime_error("the server does not answer");
  std::array<char, 65536> bytes;
  const ssize_t count = ::recv(socket_, bytes.data(), bytes.size(), 0);
  if (count <= 0) return false;
  in_.append(bytes.data(), static_cast<std::size_t>(count));
  return true;
}

std::string HttpClient::read_until(std::string_view text) {
  for (;;) {
    const std::size_t at = in_.find(text);
    if (at != std::string::npos) {
      std::string found = in_.substr(0, at + text.size());
      in_.erase(0, found.size());
      return found;
    }
    if (!receive()) {
      throw std::runtime_error(fmt::format("the server closed after '{}', not '{}'", in_, text));
    }
  }
}

bool HttpClient::is_closed_by_server() {
  while (in_.empty()) {
    if (!receive()) return true;
  }
  return false;
}

std::optional<HttpReply> HttpClient::read_reply(bool has_body) {
  if (is_closed_by_server()) return std::nullopt;
  HttpReply reply;
  const std::string head = read_until("\r\n\r\n");
  reply.status = static_cast<int>(parse_number(std::string_view(head).substr(9, 3), 10));
  std::string_view rest = head;
  rest.remove_prefix(rest.find("\r\n") + 2);
  while (rest != "\r\n") {
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    rest.remove_prefix(line.size() + 2);
    std::string name(line.substr(0, line.find(':')));
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    reply.headers[name] = std::string(line.substr(line.find(": ") + 2));
  }
  if (!has_body || reply.status == 204 || reply.status == 304 || reply.status == 100) return reply;
  if (reply.headers.contains("transfer-encoding")) {
    for (;;) {
      const std::size_t size = parse_number(read_until("\r\n"), 16);
      while (in_.size() < size + 2) {
        if (!receive()) throw std::runtime_error("the answer ends inside a chunk");
      }
      reply.body += in_.substr(0, size);
      in_.erase(0, size + 2);
      if (size == 0) return reply;
    }
  }
  const bool has_length = reply.headers.contains("content-length");
  const std::size_t length = has_length ? parse_number(reply.headers["content-length"], 10) : 0;
  while (!has_length || in_.size() < length) {
    if (receive()) continue;
    if (has_length) throw std::runtime_error("the answer is shorter than it says");
    break;
  }
  reply.body = in_.substr(0, has_length ? length : in_.size());
  in_.erase(0, reply.body.size());
  return reply;
}

std::string post_bytes(const std::string& path, const std::string& body,
                       const std::string& extra_headers) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\n{}\r\n{}",
      path, body.size(), extra_headers, body);
}

HttpReply http_get(int port, const std::string& path, const std::string& extra_headers) {
  HttpClient client(port);
  client.send(fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", path, extra_headers));
  return client.read_reply().value();
}

HttpReply http_post(int port, const std::string& path, const std::string& body,
                    const std::string& extra_headers) {
  HttpClient client(port);
  client.send(post_bytes(path, body, extra_headers));
  return client.read_reply().value();
}

}  // namespace llava::testing
