// SPDX-License-Identifier: Apache-2.0
//
// One end of the stream between two ranks of a model: frames of bytes, in order. Both ends are this
// program at the same version.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "llava/core/descriptor.h"

namespace llava::engine {

/// What a frame is.
enum class FrameKind : uint32_t {
  kCommand,  ///< leader: what to do next
  kPayload,  ///< leader: bytes that belong to the command before
  kPart,     ///< follower: its part of a sum
  kSum,      ///< leader: the sum
  kAbort,    ///< leader: the command has failed, no sum will come
  kReply,    ///< follower: how the command ended
  kResult,   ///< follower: bytes that belong to the reply before
  kHello,    ///< between machines, before all others: who speaks (rank_meeting.h)
};

/// How long a rank may leave others waiting within a command.
inline constexpr std::chrono::seconds kRankPatience{30};

/// Frames are as large as a step's activations or a picture's features at most.
inline constexpr uint64_t kMaxFrameBytes = uint64_t{1} << 32;

/// Threads: one at a time, but for shut_down().
class RankLink {
 public:
  /// Takes a connected stream socket.
  explicit RankLink(Descriptor socket) : socket_(std::move(socket)) {}

  /// Two ends that are connected.
  ///
  /// Throws: Error(kUnavailable).
  static std::pair<RankLink, RankLink> pair();

  int descriptor() const { return socket_.get(); }

  /// Throws: Error(kUnavailable) when the other end is gone or does not read for kRankPatience.
  void send(FrameKind kind, std::span<const std::byte> bytes);
  /// The next frame, of `max_bytes` at most; its bytes replace those of `bytes`. Without a limit it
  /// waits as long as the other end is there.
  ///
  /// Throws: Error(kUnavailable) when the other end is gone or silent for longer than the limit;
  /// Error(kBadFormat) for what is no frame; std::bad_alloc.
  FrameKind receive(std::vector<std::byte>& bytes, std::optional<std::chrono::seconds> limit,
                    uint64_t max_bytes = kMaxFrameBytes);

  /// Both ends are over: sending and receiving fails in either. Threads: safe.
  void shut_down() const;

 private:
  void wait_for(short events, std::optional<std::chrono::seconds> limit) const;
  void read(std::span<std::byte> bytes, std::optional<std::chrono::seconds> limit);

  Descriptor socket_;
};

}  // namespace llava::engine
