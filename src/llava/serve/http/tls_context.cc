// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <ctime>
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

/// "2026-11-29 07:36:52 UTC"
std::string time_text(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "a time that cannot be read";
  char text[64];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

/// A certificate that no client takes is better seen here than by all of them.
void check_dates(const ssl::context& context, const std::string& file) {
  const X509* certificate =
      SSL_CTX_get0_certificate(const_cast<ssl::context&>(context).native_handle());
  if (certificate == nullptr) return;
  const ASN1_TIME* begin = X509_get0_notBefore(certificate);
  const ASN1_TIME* end = X509_get0_notAfter(certificate);
  if (X509_cmp_current_time(end) < 0) {
    fail(ErrorCode::kBadFormat, "'{}', the TLS certificate, was valid until {}: renew it", file,
         time_text(end));
  }
  if (X509_cmp_current_time(begin) > 0) {
    fail(ErrorCode::kBadFormat,
         "'{}', the TLS certificate, is valid from {} on: check it, and this machine's clock", file,
         time_text(begin));
  }
}

}  // namespace

std::shared_ptr<ssl::context> make_tls_context(const TlsFiles& files) {
  if (files.key.empty()) {
    fail(ErrorCode::kInvalidArgument, "a TLS certificate needs its key: give --tls-key as well");
  }
  // Errors are told apart by what is in OpenSSL's queue.
  ERR_clear_error();
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                       ssl::context::no_sslv3 | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  boost::system::error_code error;
  context->use_certificate_chain_file(files.certificate, error);
  check(error, files.certificate, "certificate");
  context->use_private_key_file(files.key, ssl::context::pem, error);
  if (error && X509_R_KEY_VALUES_MISMATCH == ERR_GET_REASON(static_cast<unsigned>(error.value()))) {
    fail(ErrorCode::kBadFormat, "'{}', the TLS key, does not belong to the certificate '{}'",
         files.key, files.certificate);
  }
  check(error, files.key, "key");
  check_dates(*context, files.certificate);
  if (files.client_ca.empty()) return context;
  context->load_verify_file(files.client_ca, error);
  check(error, files.client_ca, "authority of clients");
  context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
  return context;
}

}  // namespace llava::serve
