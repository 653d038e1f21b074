// SPDX-License-Identifier: Apache-2.0
//
// One accepted connection as bytes, in the clear or under TLS.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <functional>
#include <memory>
#include <string>

namespace llava::serve {

/// Threads: all calls, and all callbacks, on the socket's executor, which is a strand. A callback
/// keeps the transport's owner alive by what it captures.
class Transport {
 public:
  using Error = boost::system::error_code;
  using Done = std::function<void(Error, std::size_t)>;

  virtual ~Transport() = default;

  /// Agrees on keys; at once in the clear.
  virtual void handshake(std::function<void(Error)> done) = 0;
  virtual void read_some(boost::asio::mutable_buffer buffer, Done done) = 0;
  virtual void write_some(boost::asio::const_buffer buffer, Done done) = 0;
  /// Gives the system what it takes at once and returns how many bytes that are; 0 also when the
  /// connection has failed, and where only `write_some` can write.
  virtual std::size_t try_write(boost::asio::const_buffer buffer) = 0;
  /// Tells the peer that nothing follows.
  virtual void shutdown_send(std::function<void(Error)> done) = 0;
  /// Ends the connection; what is under way fails. With `is_reset` the peer sees that it was cut.
  virtual void close(bool is_reset) = 0;
  virtual boost::asio::any_io_executor executor() = 0;
  /// The peer's address without its port.
  virtual std::string peer() const = 0;
};

std::unique_ptr<Transport> make_plain_transport(boost::asio::ip::tcp::socket socket);
std::unique_ptr<Transport> make_tls_transport(boost::asio::ip::tcp::socket socket,
                                              std::shared_ptr<boost::asio::ssl::context> context);

}  // namespace llava::serve
