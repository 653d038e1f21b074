// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/controller/worker_messages.h"

#include "llava/serve/legacy/wire_json.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

constexpr double kMostNumber = 1e15;

WorkerStatus read_status(FieldReader& reader) {
  WorkerStatus status;
  status.model_names = reader.get_strings("model_names").value_or(std::vector<std::string>{});
  status.speed = reader.get_number("speed", 0, kMostNumber).value_or(1);
  // The original divides by it; a worker that says 0 is taken to be like the others.
  if (status.speed == 0) status.speed = 1;
  status.queue_length = reader.get_number("queue_length", 0, kMostNumber).value_or(0);
  return status;
}

WorkerLoad read_load(FieldReader& reader) {
  WorkerLoad load;
  const auto most = static_cast<int64_t>(kMostNumber);
  load.kv_usage = reader.get_number("kv_usage", 0, 1);
  load.num_waiting = reader.get_int("num_waiting", 0, most);
  load.num_running = reader.get_int("num_running", 0, most);
  load.max_waiting = reader.get_int("max_waiting", 0, most);
  load.is_draining = reader.get_bool("draining");
  load.version = reader.get_string("version");
  return load;
}

std::string name_of(FieldReader& reader) {
  auto name = reader.get_string("worker_name");
  if (!name) throw ApiError(400, "missing_field", "worker_name: is missing", "worker_name");
  return std::move(*name);
}

}  // namespace

RegisterMessage read_register_message(std::string_view body) {
  const OrderedJson json = parse_body(body);
  FieldReader reader(json, "");
  RegisterMessage message;
  WorkerRegistration& registration = message.registration;
  registration.name = name_of(reader);
  registration.checks_heart_beat = reader.get_bool("check_heart_beat").value_or(false);
  registration.is_multimodal = reader.get_bool("multimodal");
  registration.load = read_load(reader);
  message.is_verbose = reader.get_bool("verbose").value_or(false);
  const OrderedJson* status = reader.find("worker_status");
  if (status == nullptr || status->empty()) return message;
  FieldReader status_reader(*status, "worker_status.");
  registration.status = read_status(status_reader);
  message.has_status = true;
  return message;
}

HeartBeat read_heart_beat(std::string_view body) {
  const OrderedJson json = parse_body(body);
  FieldReader reader(json, "");
  HeartBeat beat;
  beat.name = name_of(reader);
  const auto queue_length = reader.get_number("queue_length", 0, kMostNumber);
  if (!queue_length)
    throw ApiError(400, "missing_field", "queue_length: is missing", "queue_length");
  beat.queue_length = *queue_length;
  beat.load = read_load(reader);
  return beat;
}

std::optional<WorkerStatus> read_worker_status(std::string_view body) {
  try {
    const OrderedJson json = parse_body(body);
    FieldReader reader(json, "");
    return read_status(reader);
  } catch (const ApiError&) {
    return std::nullopt;
  }
}

OrderedJson worker_status_json(const WorkerStatus& status) {
  return {{"model_names", status.model_names},
          {"speed", number_json(status.speed)},
          {"queue_length", number_json(status.queue_length)}};
}

}  // namespace llava::serve
