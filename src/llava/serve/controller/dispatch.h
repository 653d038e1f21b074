// SPDX-License-Identifier: Apache-2.0
//
// Which worker gets a request: the dispatch methods as functions of the table's rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "llava/core/random.h"
#include "llava/serve/controller/worker_entry.h"

namespace llava::serve {

/// `--dispatch-method`.
enum class DispatchMethod : uint8_t {
  kShortestQueue,  ///< the lowest queue length for its speed; the default
  kLottery,        ///< by chance, in proportion to the speed
  kLeastLoad,      ///< the lowest sum of queue length for its speed and KV usage
  kPrefixHash,     ///< the same worker for the same model and prefix, unless it has too much to do
};

/// "shortest_queue", "lottery", "least_load", "prefix_hash".
std::string_view dispatch_method_name(DispatchMethod method);
/// The method of that name; nothing for other names.
std::optional<DispatchMethod> parse_dispatch_method(std::string_view name);

/// What is asked for.
struct DispatchRequest {
  std::string_view model;  ///< compared exactly
  /// Of kPrefixHash: the first image's hash, or the first 512 characters of the prompt. Without one
  /// (clients that only ask for an address) the shortest queue decides.
  std::string_view prefix_key = {};
  /// Names of workers that failed this request already.
  std::span<const std::string> tried = {};
};

/// Index of the worker that gets the request; nothing when no worker serves the model, and under
/// kLottery also when the speeds add up to less than 1e-4.
///
/// A worker that is draining, suspect or full is left out while there is a better one; when there
/// is none, a full one goes before a suspect one and that before one that is draining. Among equals
/// the first in the table is chosen. Under kPrefixHash the workers have an order of their own for
/// every model and key (rendezvous hashing: a worker that comes or goes moves only its own keys),
/// and the first whose queue is not longer than 1.25 times the mean, in whole requests, is chosen.
/// Only kLottery draws from the generator.
///
/// Threads: safe, but for the generator.
/// Source: LLaVA 1.2.2 `llava/serve/controller.py`, get_worker_address, for the first two methods;
/// Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; the bound is
/// that of arXiv:1608.01350.
std::optional<std::size_t> choose_worker(std::span<const WorkerEntry> entries,
                                         DispatchMethod method, const DispatchRequest& request,
                                         Generator& generator);

}  // namespace llava::serve
