// SPDX-License-Identifier: Apache-2.0
//
// Workers found by name: every address behind a DNS name is one (a headless Service of Kubernetes).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llava::serve {

/// Where workers are.
struct DiscoveryName {
  std::string host;
  uint16_t port = 0;
};

/// Reads `dns:NAME:PORT`.
///
/// Throws: Error(kInvalidArgument).
DiscoveryName read_discovery(std::string_view text);

/// The workers at the addresses that the name has now, as base URLs in order, each once; nothing
/// when the name cannot be looked up, which says nothing about the workers. Asks the system's
/// resolver, and waits for it.
std::optional<std::vector<std::string>> find_workers(const DiscoveryName& name);

}  // namespace llava::serve
