// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/media/global_address.h"

#include <array>
#include <cstdint>

namespace llava::serve {
namespace {

struct Ipv4Range {
  uint32_t first;
  int32_t prefix;
};

constexpr uint32_t ipv4(uint32_t a, uint32_t b, uint32_t c = 0) {
  return (a << 24) | (b << 16) | (c << 8);
}

/// Source: the IANA IPv4 Special-Purpose Address Registry.
constexpr std::array kSpecialIpv4{
    Ipv4Range{ipv4(0, 0), 8},        // this network
    Ipv4Range{ipv4(10, 0), 8},       // private
    Ipv4Range{ipv4(100, 64), 10},    // shared by carriers
    Ipv4Range{ipv4(127, 0), 8},      // loopback
    Ipv4Range{ipv4(169, 254), 16},   // link-local, clouds' metadata
    Ipv4Range{ipv4(172, 16), 12},    // private
    Ipv4Range{ipv4(192, 0, 0), 24},  // protocol assignments
    Ipv4Range{ipv4(192, 0, 2), 24},  // documentation
    Ipv4Range{ipv4(192, 31, 196), 24}, Ipv4Range{ipv4(192, 52, 193), 24},
    Ipv4Range{ipv4(192, 88, 99), 24},                                 // relays of 6to4
    Ipv4Range{ipv4(192, 168), 16},                                    // private
    Ipv4Range{ipv4(192, 175, 48), 24}, Ipv4Range{ipv4(198, 18), 15},  // benchmarks
    Ipv4Range{ipv4(198, 51, 100), 24},                                // documentation
    Ipv4Range{ipv4(203, 0, 113), 24},                                 // documentation
    Ipv4Range{ipv4(224, 0), 4},                                       // multicast
    Ipv4Range{ipv4(240, 0), 4},                                       // reserved, broadcast
};

struct Ipv6Range {
  std::array<uint8_t, 6> first;
  int32_t prefix;  ///< at most 48
};

/// Exceptions from 2000::/3, outside which nothing is globally routable unicast.
/// Source: the IANA IPv6 Special-Purpose Address Registry.
constexpr std::array kSpecialIpv6{
    Ipv6Range{{0x20, 0x01, 0x00, 0x00}, 23},              // protocol assignments, Teredo
    Ipv6Range{{0x20, 0x01, 0x0d, 0xb8}, 32},              // documentation
    Ipv6Range{{0x20, 0x02}, 16},                          // 6to4
    Ipv6Range{{0x26, 0x20, 0x00, 0x4f, 0x80, 0x00}, 48},  // AS112
    Ipv6Range{{0x3f, 0xff}, 20},                          // documentation
};

bool is_in(uint32_t address, const Ipv4Range& range) {
  return (address ^ range.first) >> (32 - range.prefix) == 0;
}

bool is_in(const boost::asio::ip::address_v6::bytes_type& address, const Ipv6Range& range) {
  for (int32_t bit = 0; bit < range.prefix; ++bit) {
    const auto byte = static_cast<std::size_t>(bit / 8);
    if (((address.at(byte) ^ range.first.at(byte)) >> (7 - bit % 8) & 1) != 0) return false;
  }
  return true;
}

}  // namespace

bool is_global_address(const boost::asio::ip::address& address) {
  if (address.is_v4()) {
    for (const Ipv4Range& range : kSpecialIpv4) {
      if (is_in(address.to_v4().to_uint(), range)) return false;
    }
    return true;
  }
  const auto bytes = address.to_v6().to_bytes();
  if (bytes[0] >> 5 != 1) return false;
  for (const Ipv6Range& range : kSpecialIpv6) {
    if (is_in(bytes, range)) return false;
  }
  return true;
}

}  // namespace llava::serve
