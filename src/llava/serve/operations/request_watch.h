// SPDX-License-Identifier: Apache-2.0
//
// RequestWatch: where every server tells of the requests that have ended.
#pragma once

#include <memory>

#include "llava/serve/operations/request_log.h"
#include "llava/serve/operations/trace_exporter.h"
#include "llava/serve/routing/request_record.h"
#include "llava/serve/server/server_options.h"

namespace llava::serve {

/// The process's log, and the request log and traces where they are asked for.
///
/// Threads: `note` is safe.
class RequestWatch {
 public:
  /// Throws: what RequestLog throws.
  explicit RequestWatch(const ServerOptions& options);

  void note(const RequestRecord& record);
  /// Opens the request log again.   Throws: as the constructor.
  void reopen();

 private:
  std::unique_ptr<RequestLog> log_;        ///< null: none
  std::unique_ptr<TraceExporter> traces_;  ///< null: none
};

}  // namespace llava::serve
