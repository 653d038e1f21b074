// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/transport.h"

#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <utility>

namespace llava::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

std::string address_of(const tcp::socket& socket) {
  boost::system::error_code error;
  const tcp::endpoint peer = socket.remote_endpoint(error);
  if (error) return "unknown";
  const asio::ip::address address = peer.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  }
  return address.to_string();
}

void close_socket(tcp::socket& socket, bool is_reset) {
  boost::system::error_code ignored;
  if (is_reset) socket.set_option(asio::socket_base::linger(true, 0), ignored);
  socket.close(ignored);
}

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(tcp::socket socket)
      : socket_(std::move(socket)), peer_(address_of(socket_)) {
    Error error;
    socket_.non_blocking(true, error);
    can_try_ = !error;
  }

  void handshake(std::function<void(Error)> done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done({}); });
  }
  void read_some(asio::mutable_buffer buffer, Done done) override {
    socket_.async_read_some(buffer, std::move(done));
  }
  void write_some(asio::const_buffer buffer, Done done) override {
    socket_.async_write_some(buffer, std::move(done));
  }
  std::size_t try_write(asio::const_buffer buffer) override {
    Error ignored;
    return can_try_ ? socket_.write_some(buffer, ignored) : 0;
  }
  void shutdown_send(std::function<void(Error)> done) override {
    Error error;
    socket_.shutdown(tcp::socket::shutdown_send, error);
    asio::post(socket_.get_executor(), [done = std::move(done), error] { done(error); });
  }
  void close(bool is_reset) override { close_socket(socket_, is_reset); }
  asio::any_io_executor executor() override { return socket_.get_executor(); }
  std::string peer() const override { return peer_; }

 private:
  tcp::socket socket_;
  std::string peer_;
  bool can_try_ = false;
};

class TlsTransport final : public Transport {
 public:
  TlsTransport(tcp::socket socket, std::shared_ptr<asio::ssl::context> context)
      : context_(std::move(context)),
        stream_(std::move(socket), *context_),
        peer_(address_of(stream_.next_layer())) {}

  void handshake(std::function<void(Error)> done) override {
    stream_.async_handshake(asio::ssl::stream_base::server, std::move(done));
  }
  void read_some(asio::mutable_buffer buffer, Done done) override {
    stream_.async_read_some(buffer, std::move(done));
  }
  void write_some(asio::const_buffer buffer, Done done) override {
    stream_.async_write_some(buffer, std::move(done));
  }
  std::size_t try_write(asio::const_buffer /*buffer*/) override { return 0; }
  void shutdown_send(std::function<void(Error)> done) override {
    stream_.async_shutdown(std::move(done));
  }
  void close(bool is_reset) override { close_socket(stream_.next_layer(), is_reset); }
  asio::any_io_executor executor() override { return stream_.get_executor(); }
  std::string peer() const override { return peer_; }

 private:
  std::shared_ptr<asio::ssl::context> context_;
  asio::ssl::stream<tcp::socket> stream_;
  std::string peer_;
};

}  // namespace

std::unique_ptr<Transport> make_plain_transport(tcp::socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

std::unique_ptr<Transport> make_tls_transport(tcp::socket socket,
                                              std::shared_ptr<asio::ssl::context> context) {
  return std::make_unique<TlsTransport>(std::move(socket), std::move(context));
}

}  // namespace llava::serve
