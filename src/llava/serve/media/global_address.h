// SPDX-License-Identifier: Apache-2.0
//
// Which network addresses belong to the public Internet.
#pragma once

#include <boost/asio/ip/address.hpp>

namespace llava::serve {

/// Whether an address is globally routable. Not so: every range of IANA's registries of special
/// purpose addresses (RFC 6890, RFC 8190), multicast, and the forms of IPv6 that carry an IPv4
/// address (mapped, compatible, 6to4, NAT64, Teredo), whose target cannot be seen.
bool is_global_address(const boost::asio::ip::address& address);

}  // namespace llava::serve
