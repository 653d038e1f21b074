// SPDX-License-Identifier: Apache-2.0
//
// How the ranks of one model work together: the leader says what to do, all do it on their share
// of the model, and within it parts of layers' outputs are added up (model/tensor_parallel.h).
//
// A command is a JSON object and bytes beside it. Every rank ends it with a reply, also when it
// fails: afterwards all are ready for the next one.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/json.h"
#include "llava/engine/parallel/rank_link.h"
#include "llava/model/tensor_parallel.h"

namespace llava::engine {

/// What a rank is told to do.
struct RankCommand {
  Json what;
  std::vector<std::byte> payload;
};

/// Rank 0. Threads: one at a time, but for wait_for_lost().
class LeadingRank {
 public:
  /// One link for each of the others, in order. `shares_tiles`: the others have the vision tower
  /// too, and encode some of a picture's tiles.
  explicit LeadingRank(std::vector<RankLink> links, bool shares_tiles = false);

  model::ModelShare share() const { return {.rank = 0, .num_ranks = size()}; }
  int32_t size() const { return static_cast<int32_t>(links_.size()) + 1; }
  bool shares_tiles() const { return shares_tiles_; }

  /// Waits until the others have their share of the model and follow. `model` says which one is
  /// shared, and has to be what they say.
  ///
  /// Throws: Error(kUnavailable) when one ends before; Error(kInvalidArgument) when one has another
  /// model.
  void wait_until_ready(std::string_view model);

  /// Has all ranks do something: the others what `what` says, this one `own`, which may sum().
  /// Returns what the others' results are, in their order.
  ///
  /// Throws: what `own` throws; the error of a rank that failed; Error(kUnavailable) when one is
  /// gone, after which none can be commanded any more.
  std::vector<std::vector<std::byte>> together(const Json& what, std::span<const std::byte> payload,
                                               const std::function<void()>& own);

  /// Adds the parts of all ranks, in their order, in float32, and rounds once: in all ranks the
  /// same. Shapes: any; dtype: float32, float16 or bfloat16. Only within a command.
  ///
  /// Throws: Error when a rank has failed instead.
  Tensor sum(Context& ctx, const Tensor& part);

  /// Waits until a rank has ended or has not answered, and returns its number; nothing when `stop`
  /// was shut down first. Threads: safe.
  std::optional<int32_t> wait_for_lost(const RankLink& stop) const;

 private:
  struct Reply {
    std::exception_ptr error;
    std::vector<std::byte> result;
  };

  FrameKind receive(std::size_t follower, std::vector<std::byte>& bytes,
                    std::optional<std::chrono::seconds> limit = kRankPatience);
  void send(std::size_t follower, FrameKind kind, std::span<const std::byte> bytes);
  void take_reply(std::size_t follower);

  std::vector<RankLink> links_;
  bool shares_tiles_;
  std::vector<std::optional<Reply>> replies_;  ///< to the command that is being carried out
  std::vector<std::byte> received_;
};

/// Any other rank. Threads: one at a time.
class FollowingRank {
 public:
  FollowingRank(const model::ModelShare& share, RankLink link)
      : share_(share), link_(std::move(link)) {}

  model::ModelShare share() const { return share_; }

  /// Says that it is ready with its share of `model`, and does what the leader says until that
  /// ends. `carry_out` returns the command's result; what it throws becomes the reply.
  void follow(std::string_view model,
              const std::function<std::vector<std::byte>(const RankCommand& command)>& carry_out);

  /// As LeadingRank::sum.
  Tensor sum(Context& ctx, const Tensor& part);

 private:
  /// Nothing when the leader has ended.
  std::optional<RankCommand> next_command();
  void reply(const std::exception_ptr& error, std::span<const std::byte> result);

  model::ModelShare share_;
  RankLink link_;
  std::vector<std::byte> received_;
};

}  // namespace llava::engine
