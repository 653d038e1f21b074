// SPDX-License-Identifier: Apache-2.0
#include "rank_options.h"

#include <cstdlib>

#include "llava/core/error.h"

namespace llava::app {

void RankOptions::require_consistent() const {
  if (dp > 1 && tp > 1) {
    fail(
        ErrorCode::kUnsupported,
        "--dp {} and --tp {} do not go together in one program: start a 'llava worker --tp {}' for "
        "each replica, and a 'llava controller' before them",
        dp, tp, tp);
  }
  if (tp % nnodes != 0) {
    fail(ErrorCode::kInvalidArgument,
         "--tp {} processes cannot be spread evenly over --nnodes {} machines", tp, nnodes);
  }
  if (node_rank >= nnodes) {
    fail(ErrorCode::kInvalidArgument, "--node-rank {}: with --nnodes {} the last one is {}",
         node_rank, nnodes, nnodes - 1);
  }
}

engine::RankMeeting RankOptions::meeting() const {
  const char* secret = std::getenv("LLAVA_RANK_SECRET");
  if (secret == nullptr || *secret == '\0') {
    fail(ErrorCode::kInvalidArgument,
         "--nnodes {} needs a secret by which the machines know each other: set the environment "
         "variable LLAVA_RANK_SECRET to the same text on all of them, for instance the output of "
         "'openssl rand -hex 32'",
         nnodes);
  }
  return {.host = master_addr, .port = static_cast<uint16_t>(master_port), .secret = secret};
}

}  // namespace llava::app
