// SPDX-License-Identifier: Apache-2.0
//
// ImageFetcher: gets pictures from other hosts for clients, who must not learn from it what those
// hosts or this server's network are like (serving.md 6.13).
#pragma once

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "llava/serve/media/image_url.h"

namespace llava::serve {

struct ImageFetchLimits {
  uint64_t max_bytes = 20 << 20;  ///< of one picture
  /// Of all pictures that have been or are being fetched and are still in memory.
  uint64_t max_held_bytes = uint64_t{512} << 20;
  int32_t max_redirects = 3;
  int32_t max_fetches = 16;  ///< at once; more wait
  int32_t max_fetches_per_host = 4;
  std::chrono::milliseconds lookup_time{2000};
  std::chrono::milliseconds connect_time{3000};
  std::chrono::seconds silence_time{5};
  std::chrono::milliseconds total_time{10000};
  /// A failure is told no earlier than this after the start, so that its time says little about
  /// its reason.
  std::chrono::milliseconds failure_time{3000};
};

/// A fetched picture; counts against `max_held_bytes` as long as `hold` lives.
struct FetchedImage {
  bool is_ok = false;
  std::string bytes = {};
  std::shared_ptr<void> hold = {};
  std::chrono::duration<double> time{};
};

/// Threads: safe.
class ImageFetcher {
 public:
  using Addresses = std::vector<boost::asio::ip::address>;
  /// The addresses of a host; none when it has none. May block.
  using Lookup = std::function<Addresses(const std::string& host)>;

  /// Throws: Error(kInvalidArgument) naming a flag.
  explicit ImageFetcher(const ImageUrlOptions& options, const ImageFetchLimits& limits = {},
                        Lookup lookup = look_up_host);
  /// Drops what is under way.
  ~ImageFetcher();
  ImageFetcher(const ImageFetcher&) = delete;
  ImageFetcher& operator=(const ImageFetcher&) = delete;

  const ImageUrlPolicy& policy() const;

  /// Fetches `url`; `on_end` is called once, on a thread of the fetcher's, which must have it back
  /// at once. Why a fetch failed is said in the log only. What is returned ends the fetch, so that
  /// `on_end` is not called unless it is under way; it may be called at any time.
  std::function<void()> fetch(std::string url, std::function<void(FetchedImage)> on_end);

  static Addresses look_up_host(const std::string& host);

 private:
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace llava::serve
