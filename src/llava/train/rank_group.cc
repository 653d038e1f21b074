// SPDX-License-Identifier: Apache-2.0
#include "llava/train/rank_group.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "llava/core/check.h"

namespace llava::train {
namespace {

// Where a rank that fails leaves its message, and where the others say that they have read it.
constexpr const char* kFailure = "failure";
constexpr const char* kHeard = "heard/";
// How long rank 0, which keeps the message, waits for the others to read it.
constexpr std::chrono::seconds kHearing{3};

std::optional<int64_t> number_of_environment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  int64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end || value < 0) {
    fail(ErrorCode::kInvalidArgument,
         "the environment's {} is '{}', expected a number: the launcher sets it", name, text);
  }
  return value;
}

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

std::shared_ptr<gloo::transport::Device> make_device(const RankPlace& place) {
  if (place.master_address == "127.0.0.1" || place.master_address == "localhost") {
    return c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1");
  }
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  if (interface != nullptr && *interface != '\0') {
    return c10d::ProcessGroupGloo::createDeviceForInterface(interface);
  }
  return c10d::ProcessGroupGloo::createDefaultDevice();
}

}  // namespace

RankPlace rank_place_of_environment() {
  const auto rank = number_of_environment("RANK");
  const auto size = number_of_environment("WORLD_SIZE");
  RankPlace place;
  if (!rank && !size) return place;
  if (!rank || !size || *rank >= *size || *size > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::kInvalidArgument,
         "the environment's RANK is {} and WORLD_SIZE is {}: expected both, with a rank below the "
         "size; start the ranks with a launcher, or with --num-processes",
         rank ? std::to_string(*rank) : "not set", size ? std::to_string(*size) : "not set");
  }
  place.rank = static_cast<int32_t>(*rank);
  place.size = static_cast<int32_t>(*size);
  if (const char* address = std::getenv("MASTER_ADDR"); address != nullptr && *address != '\0') {
    place.master_address = address;
  }
  const int64_t port = number_of_environment("MASTER_PORT").value_or(place.master_port);
  if (port < 1 || port > std::numeric_limits<uint16_t>::max()) {
    fail(ErrorCode::kInvalidArgument, "the environment's MASTER_PORT is {}, expected 1 to 65535",
         port);
  }
  place.master_port = static_cast<uint16_t>(port);
  return place;
}

struct RankGroup::Connection {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
  int32_t rank;
  int32_t size;
  bool is_lost = false;

  // Runs a collective; LibTorch's exceptions become ours.
  template <class Work>
  void run(Work work) {
    try {
      work(*gloo)->wait();
    } catch (const std::exception& error) {
      is_lost = true;
      // What the rank that failed has left: its error's code, then its message.
      std::vector<uint8_t> left;
      try {
        if (store->check({kFailure})) left = store->get(kFailure);
        hear();
      } catch (const std::exception&) {
        // Rank 0, which keeps the store, is the one that has gone.
      }
      if (left.size() > 1) {
        throw Error(static_cast<ErrorCode>(left[0]), std::string(left.begin() + 1, left.end()));
      }
      const std::string_view reason = error.what();
      fail(
          ErrorCode::kUnavailable,
          "rank {} of {} lost the others: one has ended, by a signal or with a message of its own, "
          "or a connection broke ({}). Start all ranks again to go on from the newest checkpoint",
          rank, size, reason.substr(0, reason.find('\n')));
    }
  }

  void hear() { store->set(kHeard + std::to_string(rank), std::vector<uint8_t>{1}); }
};

RankGroup::RankGroup() = default;
RankGroup::RankGroup(RankGroup&&) noexcept = default;
RankGroup& RankGroup::operator=(RankGroup&&) noexcept = default;
RankGroup::~RankGroup() = default;

RankGroup::RankGroup(const RankPlace& place) : rank_(place.rank), size_(place.size) {
  if (size_ == 1) return;
  LLAVA_CHECK(rank_ >= 0 && rank_ < size_);
  const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(place.timeout);
  try {
    c10d::TCPStoreOptions settings;
    settings.port = place.master_port;
    settings.isServer = rank_ == 0;
    settings.numWorkers = static_cast<std::size_t>(size_);
    settings.timeout = timeout;
    const auto store = c10::make_intrusive<c10d::TCPStore>(place.master_address, settings);
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->threads = 1;
    options->devices.push_back(make_device(place));
    connection_ = std::make_unique<Connection>(Connection{
        .store = store,
        .gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(
            c10::make_intrusive<c10d::PrefixStore>("gloo", store), rank_, size_, options),
        .rank = rank_,
        .size = size_});
  } catch (const std::exception& error) {
    const std::string_view reason = error.what();
    fail(ErrorCode::kUnavailable,
         "rank {} of {} cannot meet the others at {}:{} ({}): are all ranks started, with the same "
         "MASTER_ADDR and MASTER_PORT, and is the port free there?",
         rank_, size_, place.master_address, place.master_port,
         reason.substr(0, reason.find('\n')));
  }
  // One that left while others are still connecting would leave them waiting.
  wait_for_all();
}

std::vector<uint8_t> RankGroup::exchange(const std::vector<uint8_t>& bytes,
                                         std::vector<int64_t>& sizes) {
  at::Tensor counts = at::empty({size_}, at::kLong);
  at::Tensor count = at::empty({1}, at::kLong);
  *count.mutable_data_ptr<int64_t>() = static_cast<int64_t>(bytes.size());
  connection_->run([&](auto& gloo) { return gloo._allgather_base(counts, count); });
  sizes.assign(counts.const_data_ptr<int64_t>(), counts.const_data_ptr<int64_t>() + size_);
  int64_t longest = 1;
  int64_t total = 0;
  for (const int64_t size : sizes) {
    longest = std::max(longest, size);
    total += size;
  }
  // Gloo gathers equal lengths.
  at::Tensor padded = at::zeros({longest}, at::kByte);
  std::memcpy(padded.mutable_data_ptr(), bytes.data(), bytes.size());
  at::Tensor all = at::empty({size_ * longest}, at::kByte);
  connection_->run([&](auto& gloo) { return gloo._allgather_base(all, padded); });
  std::vector<uint8_t> result;
  result.reserve(static_cast<std::size_t>(total));
  const auto* data = all.const_data_ptr<uint8_t>();
  for (int32_t r = 0; r < size_; ++r) {
    const uint8_t* begin = data + r * longest;
    result.insert(result.end(), begin, begin + sizes[static_cast<std::size_t>(r)]);
  }
  return result;
}

std::vector<std::vector<double>> RankGroup::gather(const std::vector<double>& values) {
  if (is_alone()) return {values};
  std::vector<uint8_t> bytes(values.size() * sizeof(double));
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  std::vector<int64_t> sizes;
  const std::vector<uint8_t> all = exchange(bytes, sizes);
  std::vector<std::vector<double>> result;
  const uint8_t* from = all.data();
  for (const int64_t size : sizes) {
    std::vector<double>& part =
        result.emplace_back(static_cast<std::size_t>(size) / sizeof(double));
    if (size > 0) std::memcpy(part.data(), from, static_cast<std::size_t>(size));
    from += size;
  }
  return result;
}

std::vector<std::string> RankGroup::gather(const std::string& text) {
  if (is_alone()) return {text};
  std::vector<int64_t> sizes;
  const std::vector<uint8_t> all = exchange(bytes_of(text), sizes);
  std::vector<std::string> result;
  auto from = all.begin();
  for (const int64_t size : sizes) {
    result.emplace_back(from, from + size);
    from += size;
  }
  return result;
}

void RankGroup::sum(std::span<double> values) {
  if (is_alone()) return;
  const auto all = gather(std::vector<double>(values.begin(), values.end()));
  std::ranges::fill(values, 0.0);
  for (const std::vector<double>& of_rank : all) {
    LLAVA_CHECK(of_rank.size() == values.size());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += of_rank[i];
  }
}

bool RankGroup::any(bool is_so) {
  double count = is_so ? 1 : 0;
  sum({&count, 1});
  return count > 0;
}

at::Tensor RankGroup::sum_parts(const at::Tensor& parts) {
  LLAVA_CHECK(parts.dim() == 2 && parts.size(0) == size_);
  if (is_alone()) return parts[0].to(at::kFloat);
  at::Tensor sent = parts.contiguous().cpu();
  at::Tensor received = at::empty_like(sent);
  std::vector<int64_t> equal;
  connection_->run([&](auto& gloo) { return gloo.alltoall_base(received, sent, equal, equal); });
  at::Tensor sum = received[0].to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  for (int32_t r = 1; r < size_; ++r) sum.add_(received[r]);
  return sum.to(parts.device());
}

at::Tensor RankGroup::gather_parts(const at::Tensor& part) {
  LLAVA_CHECK(part.dim() == 1);
  if (is_alone()) return part.unsqueeze(0);
  at::Tensor mine = part.contiguous().cpu();
  at::Tensor all = at::empty({size_ * part.numel()}, mine.options());
  connection_->run([&](auto& gloo) { return gloo._allgather_base(all, mine); });
  return all.view({size_, part.numel()}).to(part.device());
}

at::Tensor RankGroup::gather_parts_to_first(const at::Tensor& part) {
  LLAVA_CHECK(part.dim() == 1);
  if (is_alone()) return part.unsqueeze(0);
  std::vector<at::Tensor> mine{part.contiguous().cpu()};
  std::vector<std::vector<at::Tensor>> all;
  at::Tensor result;
  if (is_first()) {
    result = at::empty({size_, part.numel()}, mine[0].options());
    all.push_back(result.unbind());
  }
  connection_->run([&](auto& gloo) { return gloo.gather(all, mine); });
  return result;
}

void RankGroup::leave_failed(ErrorCode code, const std::string& message) noexcept {
  if (connection_ == nullptr) return;
  try {
    const c10::intrusive_ptr<c10d::Store> store = connection_->store;
    if (!connection_->is_lost && !store->check({kFailure})) {
      std::vector<uint8_t> left = bytes_of(fmt::format("rank {} of {}: {}", rank_, size_, message));
      left.insert(left.begin(), static_cast<uint8_t>(code));
      store->set(kFailure, left);
    }
    connection_->hear();
    // The others notice that this end is closed, and look for the message.
    connection_->gloo.reset();
    if (is_first()) {
      std::vector<std::string> heard;
      for (int32_t r = 1; r < size_; ++r) heard.push_back(kHeard + std::to_string(r));
      store->wait(heard, std::chrono::duration_cast<std::chrono::milliseconds>(kHearing));
    }
  } catch (const std::exception&) {
    // The store or a rank has gone already: each says for itself what it knows.
  }
  connection_.reset();
}

}  // namespace llava::train
