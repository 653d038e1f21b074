// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/operations/request_watch.h"

#include "llava/core/log.h"

namespace llava::serve {

RequestWatch::RequestWatch(const ServerOptions& options) {
  if (!options.request_log.empty()) {
    log_ = std::make_unique<RequestLog>(options.request_log, options.hash_client_address);
  }
  if (!options.otlp_endpoint.empty()) {
    traces_ = std::make_unique<TraceExporter>(options.otlp_endpoint);
  }
}

void RequestWatch::note(const RequestRecord& record) {
  if (log_) log_->write(record);
  if (traces_) traces_->add(record);
  log_info("request", {{"id", record.id},
                       {"client", record.client},
                       {"method", record.method},
                       {"route", record.route},
                       {"status", record.status},
                       {"ms", record.milliseconds}});
}

void RequestWatch::reopen() {
  if (log_) log_->reopen();
}

}  // namespace llava::serve
