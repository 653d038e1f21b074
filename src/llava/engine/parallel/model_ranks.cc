// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/parallel/model_ranks.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <utility>

#include "llava/core/check.h"
#include "llava/core/error.h"

namespace llava::engine {
namespace {

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

Json parse(std::span<const std::byte> bytes) {
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                    "the message of another rank");
}

// Why a command ended, as a reply says it.
Json to_reply(const std::exception_ptr& error) {
  if (!error) return Json{{"code", nullptr}};
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return {{"code", static_cast<int>(e.code())}, {"message", e.what()}};
  } catch (const std::bad_alloc&) {
    return {{"code", static_cast<int>(ErrorCode::kResourceExhausted)},
            {"message", "another rank of the model is out of memory"}};
  } catch (const std::exception& e) {
    return {{"code", static_cast<int>(ErrorCode::kInternal)}, {"message", e.what()}};
  }
}

Tensor like(const Tensor& host, std::span<const std::byte> bytes) {
  if (static_cast<int64_t>(bytes.size()) != host.num_bytes()) {
    fail(ErrorCode::kInternal, "a rank's part has {} bytes, expected {}", bytes.size(),
         host.num_bytes());
  }
  Tensor tensor = Tensor::empty(host.shape(), host.dtype());
  std::memcpy(tensor.mutable_bytes().data(), bytes.data(), bytes.size());
  return tensor;
}

}  // namespace

LeadingRank::LeadingRank(std::vector<RankLink> links, bool shares_tiles)
    : links_(std::move(links)), shares_tiles_(shares_tiles), replies_(links_.size()) {}

FrameKind LeadingRank::receive(std::size_t follower, std::vector<std::byte>& bytes,
                               std::optional<std::chrono::seconds> limit) {
  try {
    return links_[follower].receive(bytes, limit);
  } catch (...) {
    // Half of a frame may be left: nothing can follow it.
    links_[follower].shut_down();
    throw;
  }
}

void LeadingRank::send(std::size_t follower, FrameKind kind, std::span<const std::byte> bytes) {
  try {
    links_[follower].send(kind, bytes);
  } catch (...) {
    // Half of a frame may be left: nothing can follow it.
    links_[follower].shut_down();
    throw;
  }
}

void LeadingRank::take_reply(std::size_t follower) {
  const Json reply = parse(received_);
  Reply taken;
  if (!reply.at("code").is_null()) {
    taken.error = std::make_exception_ptr(Error(static_cast<ErrorCode>(reply.at("code").get<int>()),
                                                reply.at("message").get<std::string>()));
  }
  if (receive(follower, taken.result) != FrameKind::kResult) {
    fail(ErrorCode::kInternal, "rank {} sent a reply without a result", follower + 1);
  }
  replies_[follower] = std::move(taken);
}

void LeadingRank::wait_until_ready(std::string_view model) {
  for (std::size_t i = 0; i < links_.size(); ++i) {
    // Loading takes as long as it takes.
    LLAVA_CHECK(receive(i, received_, std::nullopt) == FrameKind::kReply);
    take_reply(i);
    if (!std::ranges::equal(replies_[i]->result, as_bytes(model))) {
      fail(ErrorCode::kInvalidArgument,
           "rank {} has loaded another model than the first rank: all machines need the same files "
           "and the same flags",
           i + 1);
    }
  }
}

std::vector<std::vector<std::byte>> LeadingRank::together(const Json& what,
                                                          std::span<const std::byte> payload,
                                                          const std::function<void()>& own) {
  const std::string text = to_text(what);
  for (std::size_t i = 0; i < links_.size(); ++i) {
    send(i, FrameKind::kCommand, as_bytes(text));
    send(i, FrameKind::kPayload, payload);
  }
  replies_.assign(links_.size(), std::nullopt);
  std::exception_ptr error;
  try {
    own();
  } catch (...) {
    error = std::current_exception();
    // Those that wait for a sum go on; others find it before the next command.
    for (std::size_t i = 0; i < links_.size(); ++i) send(i, FrameKind::kAbort, {});
  }
  for (std::size_t i = 0; i < links_.size(); ++i) {
    while (!replies_[i]) {
      // Parts of sums that nobody asks for any more are passed over.
      if (receive(i, received_) == FrameKind::kReply) take_reply(i);
    }
  }
  if (error) std::rethrow_exception(error);
  std::vector<std::vector<std::byte>> results;
  for (std::optional<Reply>& reply : replies_) {
    if (reply->error) std::rethrow_exception(reply->error);
    results.push_back(std::move(reply->result));
  }
  return results;
}

Tensor LeadingRank::sum(Context& ctx, const Tensor& part) {
  const Tensor own = ops::to_host(ctx, part);
  const Tensor own_floats = host_to_float32(own);
  Tensor total = Tensor::empty(own.shape(), DType::kFloat32);
  const auto sums = total.mutable_data<float>();
  std::memcpy(sums.data(), own_floats.bytes().data(), own_floats.bytes().size());
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const FrameKind kind = receive(i, received_);
    if (kind == FrameKind::kReply) {
      take_reply(i);
      if (replies_[i]->error) std::rethrow_exception(replies_[i]->error);
    }
    LLAVA_CHECK(kind == FrameKind::kPart, "rank {} has done something else", i + 1);
    const Tensor other = host_to_float32(like(own, received_));
    const auto values = other.data<float>();
    for (std::size_t j = 0; j < values.size(); ++j) sums[j] += values[j];
  }
  const Tensor rounded = host_cast(total, own.dtype());
  for (std::size_t i = 0; i < links_.size(); ++i) send(i, FrameKind::kSum, rounded.bytes());
  return ops::from_host(ctx, rounded);
}

std::optional<int32_t> LeadingRank::wait_for_lost(const RankLink& stop) const {
  // What has hung up is reported without being asked for; Linux tells an end of TCP when asked.
#ifdef POLLRDHUP
  constexpr short kEnd = POLLRDHUP;
#else
  constexpr short kEnd = 0;
#endif
  std::vector<pollfd> ends;
  for (const RankLink& link : links_) {
    ends.push_back({.fd = link.descriptor(), .events = kEnd, .revents = 0});
  }
  ends.push_back({.fd = stop.descriptor(), .events = kEnd, .revents = 0});
  while (::poll(ends.data(), ends.size(), -1) < 0) {
    LLAVA_CHECK(errno == EINTR, "poll: {}", std::strerror(errno));
  }
  for (std::size_t i = 0; i < links_.size(); ++i) {
    if (ends[i].revents != 0) return static_cast<int32_t>(i) + 1;
  }
  return std::nullopt;
}

std::optional<RankCommand> FollowingRank::next_command() {
  try {
    // What was aborted after this rank had ended it leaves its mark here.
    while (link_.receive(received_, std::nullopt) != FrameKind::kCommand) continue;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kUnavailable) return std::nullopt;
    throw;
  }
  RankCommand command{.what = parse(received_), .payload = {}};
  if (link_.receive(command.payload, kRankPatience) != FrameKind::kPayload) {
    fail(ErrorCode::kInternal, "the first rank sent a command without its bytes");
  }
  return command;
}

void FollowingRank::follow(
    std::string_view model,
    const std::function<std::vector<std::byte>(const RankCommand& command)>& carry_out) {
  reply({}, as_bytes(model));
  while (const std::optional<RankCommand> command = next_command()) {
    std::vector<std::byte> result;
    std::exception_ptr error;
    try {
      result = carry_out(*command);
    } catch (...) {
      error = std::current_exception();
    }
    reply(error, result);
  }
}

void FollowingRank::reply(const std::exception_ptr& error, std::span<const std::byte> result) {
  const std::string text = to_text(to_reply(error));
  link_.send(FrameKind::kReply, as_bytes(text));
  link_.send(FrameKind::kResult, result);
}

Tensor FollowingRank::sum(Context& ctx, const Tensor& part) {
  const Tensor own = ops::to_host(ctx, part);
  link_.send(FrameKind::kPart, own.bytes());
  const FrameKind kind = link_.receive(received_, kRankPatience);
  if (kind == FrameKind::kAbort) {
    fail(ErrorCode::kCancelled, "the first rank has given the step up");
  }
  LLAVA_CHECK(kind == FrameKind::kSum, "the first rank has done something else");
  return ops::from_host(ctx, like(own, received_));
}

}  // namespace llava::engine
