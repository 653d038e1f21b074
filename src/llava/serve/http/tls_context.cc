// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/tls_context.h"

#include <filesystem>

#include "llava/core/error.h"

namespace llava::serve {
namespace {

namespace ssl = boost::asio::ssl;

void check(const boost::system::error_code& error, const std::string& file, const char* what) {
  if (!error) return;
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) {
    fail(ErrorCode::kNotFound, "'{}', the TLS {}, does not exist", file, what);
  }
  fail(ErrorCode::kBadFormat, "'{}' is no TLS {} in PEM form that fits: {}", file, what,
       error.message());
}

}  // namespace

std::shared_ptr<ssl::context> make_tls_context(const TlsFiles& files) {
  if (files.key.empty()) {
    fail(ErrorCode::kInvalidArgument, "a TLS certificate needs its key: give --tls-key as well");
  }
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                       ssl::context::no_sslv3 | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  boost::system::error_code error;
  context->use_certificate_chain_file(files.certificate, error);
  check(error, files.certificate, "certificate");
  context->use_private_key_file(files.key, ssl::context::pem, error);
  check(error, files.key, "key");
  if (files.client_ca.empty()) return context;
  context->load_verify_file(files.client_ca, error);
  check(error, files.client_ca, "authority of clients");
  context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
  return context;
}

}  // namespace llava::serve
