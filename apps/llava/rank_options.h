// SPDX-License-Identifier: Apache-2.0
//
// Flags: how many replicas of a served model there are, and which processes, on which machines,
// share one.
#pragma once

#include <cstdint>
#include <string>

#include "llava/core/config.h"
#include "llava/engine/parallel/rank_meeting.h"
#include "llava/engine/replica_chooser.h"

namespace llava::app {

struct RankOptions {
  int32_t dp = 1;
  int32_t tp = 1;
  int32_t nnodes = 1;
  int32_t node_rank = 0;
  bool encoder_dp = false;
  std::string master_addr = "127.0.0.1";
  int32_t master_port = 29500;

  template <class V>
  void describe(V& v) {
    v.field(
        "dp", dp,
        "data parallelism: replicas of the model behind one port, on the processor, which share "
        "weights and threads and have a KV cache each; a request goes where its beginning is "
        "cached, else to the least busy",
        in_range(1, engine::ReplicaChooser::kMaxReplicas));
    v.field("data-parallel-size", dp, "the same, as vLLM calls it",
            in_range(1, engine::ReplicaChooser::kMaxReplicas));
    v.field("tp", tp,
            "tensor parallelism: processes that share the language model's heads and feed-forward "
            "width, and the threads of their machine, on the processor",
            in_range(1, 64));
    v.field("tensor-parallel-size", tp, "the same, as vLLM calls it", in_range(1, 64));
    v.field("encoder-dp", encoder_dp,
            "let all of them encode tiles of a picture that has several, instead of the first one");
    v.field("nnodes", nnodes,
            "machines that these processes are spread over evenly; the same command runs on each, "
            "with a --node-rank of its own and one LLAVA_RANK_SECRET",
            in_range(1, 64));
    v.field("node-rank", node_rank, "which of the machines this is; the first one, 0, serves",
            in_range(0, 63));
    v.field("master-addr", master_addr, "address of the first machine, in a private network");
    v.field("master-port", master_port, "port on which its ranks are joined by the others",
            in_range(1, 65535));
  }

  /// Throws: Error(kInvalidArgument) for what does not fit together.
  void require_consistent() const;

  /// Ranks of this machine, and the first of them.
  int32_t num_local() const { return tp / nnodes; }
  int32_t first_local() const { return node_rank * num_local(); }

  /// With the secret of the environment. Throws: Error(kInvalidArgument) when there is none.
  engine::RankMeeting meeting() const;
};

}  // namespace llava::app
