// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/controller/worker_discovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/serve/controller/worker_url.h"

namespace llava::serve {

DiscoveryName read_discovery(std::string_view text) {
  constexpr std::string_view kScheme = "dns:";
  try {
    if (!text.starts_with(kScheme))
      fail(ErrorCode::kInvalidArgument, "it does not begin with dns:");
    const std::string_view place = text.substr(kScheme.size());
    const WorkerUrl url = parse_worker_url(fmt::format("http://{}", place));
    const bool has_port = place.ends_with(fmt::format(":{}", url.port));
    if (!has_port || !url.path.empty())
      fail(ErrorCode::kInvalidArgument, "it has no port at its end");
    return {.host = url.host, .port = url.port};
  } catch (const Error& error) {
    fail(ErrorCode::kInvalidArgument, "--discovery is '{}', expected dns:NAME:PORT: {}", text,
         error.what());
  }
}

std::optional<std::vector<std::string>> find_workers(const DiscoveryName& name) {
  boost::asio::io_context context;
  boost::system::error_code error;
  const auto found = boost::asio::ip::tcp::resolver(context).resolve(name.host, "", error);
  if (error) {
    log_warning("discovery_fails", {{"name", name.host}, {"error", error.message()}});
    return std::nullopt;
  }
  std::vector<std::string> workers;
  for (const auto& entry : found) {
    const auto address = entry.endpoint().address();
    const std::string host =
        address.is_v6() ? fmt::format("[{}]", address.to_string()) : address.to_string();
    workers.push_back(fmt::format("http://{}:{}", host, name.port));
  }
  std::ranges::sort(workers);
  workers.erase(std::unique(workers.begin(), workers.end()), workers.end());
  return workers;
}

}  // namespace llava::serve
