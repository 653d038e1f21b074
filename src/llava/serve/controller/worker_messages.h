// SPDX-License-Identifier: Apache-2.0
//
// What workers and controllers tell each other, as JSON.
#pragma once

#include <string>
#include <string_view>

#include "llava/core/json.h"
#include "llava/serve/controller/worker_table.h"

namespace llava::serve {

/// The body of /register_worker.
struct RegisterMessage {
  WorkerRegistration registration;
  bool has_status = false;
  bool is_verbose = false;
};

/// Throws: ApiError 400 naming the field.
RegisterMessage read_register_message(std::string_view body);
HeartBeat read_heart_beat(std::string_view body);

/// The answer of /worker_get_status; nothing when it is none.
std::optional<WorkerStatus> read_worker_status(std::string_view body);
OrderedJson worker_status_json(const WorkerStatus& status);

}  // namespace llava::serve
