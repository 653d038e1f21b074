// SPDX-License-Identifier: Apache-2.0
//
// TLS settings of a server, from PEM files.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

namespace llava::serve {

struct TlsFiles {
  std::string certificate;  ///< with the chain behind it
  std::string key;
  std::string client_ca;  ///< empty: clients need no certificate
};

/// Settings for TLS 1.2 and later.
///
/// Throws: Error(kNotFound) or Error(kBadFormat) naming the file, also for a certificate that is
/// not valid now, and for a key of another one.
std::shared_ptr<boost::asio::ssl::context> make_tls_context(const TlsFiles& files);

}  // namespace llava::serve
