// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/http_server.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <future>
#include <limits>
#include <thread>
#include <unordered_map>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/guarded.h"
#include "llava/core/log.h"
#include "llava/serve/http/http_connection.h"
#include "llava/serve/http/tls_context.h"

namespace llava::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

/// Connections that may have ended before the list of them is cleared up.
constexpr std::size_t kKeptConnections = 64;

/// Descriptors that stay for other things than connections: files, pictures, outgoing requests.
constexpr int64_t kOtherDescriptors = 64;

/// Raises the limit of descriptors to what the system lets this process have, and says how many
/// connections of the wanted ones that allows: each is one.
int64_t allowed_connections(int64_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return wanted;
  const auto descriptors =
      static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, std::numeric_limits<int32_t>::max()));
  const int64_t allowed = std::max(descriptors - kOtherDescriptors, descriptors / 2);
  if (allowed >= wanted) return wanted;
  log_warning("http_descriptors", {{"max_connections", wanted},
                                   {"descriptors", descriptors},
                                   {"connections", allowed},
                                   {"advice", "raise the hard limit (ulimit -Hn, LimitNOFILE=)"}});
  return allowed;
}

tcp::endpoint resolve(asio::io_context& io, const std::string& host, int32_t port) {
  boost::system::error_code error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    fail(ErrorCode::kInvalidArgument, "cannot listen on '{}': {}", host, error.message());
  }
  return *found.begin();
}

}  // namespace

class HttpServer::State {
 public:
  State(const HttpServerConfig& config, HttpHandler& handler)
      : config_(config),
        max_connections_(allowed_connections(config.limits.max_connections)),
        io_(std::max(1, config.num_threads)),
        shared_(std::make_shared<ConnectionShared>(config.limits, handler,
                                                   std::make_shared<HandOver>(io_.get_executor()))),
        acceptor_(asio::make_strand(io_)),
        retry_(acceptor_.get_executor()) {
    load_tls();
    listen();
    accept();
    for (int32_t i = 0; i < std::max(1, config.num_threads); ++i) {
      threads_.emplace_back([this] { run(); });
    }
  }

  ~State() {
    // Once the acceptor is closed, on its own strand, no connection begins any more.
    std::promise<void> closed;
    asio::post(acceptor_.get_executor(), [this, &closed] {
      close_acceptor();
      closed.set_value();
    });
    closed.get_future().wait();
    for_each([](HttpConnection& connection) { connection.stop(false); });
    // What has been posted still runs, so that exchanges end in order.
    work_.reset();
    threads_.clear();
  }

  int32_t port() const { return port_; }
  std::string address() const {
    const bool is_ipv6 = config_.host.find(':') != std::string::npos;
    return fmt::format("{}://{}{}{}:{}", config_.tls_certificate.empty() ? "http" : "https",
                       is_ipv6 ? "[" : "", config_.host, is_ipv6 ? "]" : "", port_);
  }
  HttpServerStats stats() const {
    return {.connections = shared_->num_connections.load(),
            .body_bytes = shared_->body_bytes.load(),
            .answers = shared_->num_answers.load()};
  }

  void begin_drain() {
    shared_->is_draining.store(true);
    for_each([](HttpConnection& connection) { connection.stop(true); });
  }

  void stop_listening() {
    asio::post(acceptor_.get_executor(), [this] { close_acceptor(); });
    for_each([](HttpConnection& connection) { connection.stop(true); });
  }

  void load_tls() {
    if (config_.tls_certificate.empty()) {
      // Without it everything would be sent in the clear, which nobody wants who gives these.
      if (config_.tls_key.empty() && config_.tls_client_ca.empty()) return;
      fail(ErrorCode::kInvalidArgument, "{} needs a certificate: give --tls-cert as well",
           config_.tls_key.empty() ? "--tls-client-ca" : "--tls-key");
    }
    auto context =
        make_tls_context({config_.tls_certificate, config_.tls_key, config_.tls_client_ca});
    tls_.with([&](auto& current) { current = std::move(context); });
  }

 private:
  void close_acceptor() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
  }

  void run() {
    for (;;) {
      try {
        io_.run();
        return;
      } catch (const std::exception& error) {
        log_error("http_thread", {{"error", error.what()}});
      }
    }
  }

  void listen() {
    tcp::endpoint endpoint = resolve(io_, config_.host, config_.port);
    boost::system::error_code error = listen_on(endpoint);
    for (int32_t port = config_.port + 1; error && port <= config_.last_port; ++port) {
      endpoint.port(static_cast<uint16_t>(port));
      error = listen_on(endpoint);
    }
    if (error) {
      const int32_t last = std::max(config_.port, config_.last_port);
      const std::string ports =
          last == config_.port ? fmt::format("{}", last) : fmt::format("{}-{}", config_.port, last);
      fail(ErrorCode::kResourceExhausted,
           "cannot listen on {}:{}: {}: choose another --port, or 0 for any free one", config_.host,
           ports, error.message());
    }
    port_ = acceptor_.local_endpoint().port();
  }

  boost::system::error_code listen_on(const tcp::endpoint& endpoint) {
    boost::system::error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    boost::system::error_code ignored;
    if (error) acceptor_.close(ignored);
    return error;
  }

  void accept() {
    acceptor_.async_accept(asio::make_strand(io_),
                           [this](const boost::system::error_code& error, tcp::socket socket) {
                             on_accept(error, std::move(socket));
                           });
  }

  void on_accept(const boost::system::error_code& error, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (error) {
      // Out of descriptors, most likely: wait for some to come back.
      log_warning("http_accept", {{"error", error.message()}});
      retry_.expires_after(std::chrono::milliseconds(100));
      retry_.async_wait([this](const boost::system::error_code& cancelled) {
        if (!cancelled) accept();
      });
      return;
    }
    begin(std::move(socket));
    accept();
  }

  void begin(tcp::socket socket) {
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    const int64_t num_open = shared_->num_connections.load();
    if (num_open >= max_connections_) {
      socket.close(ignored);
      return;
    }
    const auto context = tls_.with([](const auto& current) { return current; });
    auto connection = std::make_shared<HttpConnection>(
        shared_, context ? make_tls_transport(std::move(socket), context)
                         : make_plain_transport(std::move(socket)));
    connections_.with([&](auto& all) {
      // One that has ended keeps its memory until nothing points to it.
      if (all.size() > kKeptConnections + 2 * static_cast<std::size_t>(num_open)) {
        std::erase_if(all, [](const auto& weak) { return weak.expired(); });
      }
      all.push_back(connection);
    });
    connection->start();
  }

  template <class Function>
  void for_each(Function function) {
    const auto all = connections_.with([](auto& current) { return current; });
    for (const auto& weak : all) {
      if (const auto connection = weak.lock()) function(*connection);
    }
  }

  HttpServerConfig config_;
  const int64_t max_connections_;
  asio::io_context io_;
  std::shared_ptr<ConnectionShared> shared_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  int32_t port_ = 0;
  Guarded<std::shared_ptr<asio::ssl::context>> tls_;
  Guarded<std::vector<std::weak_ptr<HttpConnection>>> connections_;
  std::vector<std::jthread> threads_;
};

HttpServer::HttpServer(const HttpServerConfig& config, HttpHandler& handler)
    : state_(std::make_unique<State>(config, handler)) {}
HttpServer::~HttpServer() = default;

int32_t HttpServer::port() const { return state_->port(); }
std::string HttpServer::address() const { return state_->address(); }
HttpServerStats HttpServer::stats() const { return state_->stats(); }
void HttpServer::begin_drain() { state_->begin_drain(); }
void HttpServer::stop_listening() { state_->stop_listening(); }
void HttpServer::reload_tls() { state_->load_tls(); }

}  // namespace llava::serve
