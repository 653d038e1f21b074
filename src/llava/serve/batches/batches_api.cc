// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/batches/batches_api.h"

#include <algorithm>
#include <array>
#include <utility>

#include "llava/serve/files/files_api.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

constexpr std::array<std::string_view, 3> kEndpoints{"/v1/chat/completions", "/v1/completions",
                                                     "/v1/embeddings"};

std::string required(FieldReader& reader, std::string_view name) {
  auto text = reader.get_string(name);
  if (text) return *std::move(text);
  throw ApiError(400, "missing_field", fmt::format("{}: is missing", name), std::string(name));
}

OrderedJson read_metadata(FieldReader& reader) {
  const OrderedJson* metadata = reader.find("metadata");
  if (metadata == nullptr) return {};
  const bool is_plain =
      metadata->is_object() && metadata->size() <= 16 &&
      std::ranges::all_of(*metadata, [](const OrderedJson& value) { return value.is_string(); });
  if (!is_plain) fail_field("metadata", "expected an object of at most 16 texts");
  return *metadata;
}

void create_batch(ModelService& service, BatchRunner& batches, const RouteCall& call) {
  const OrderedJson body = parse_body(call.request.body);
  FieldReader reader(body, "");
  const std::string file_id = required(reader, "input_file_id");
  std::string endpoint = required(reader, "endpoint");
  if (std::ranges::find(kEndpoints, endpoint) == kEndpoints.end()) {
    fail_field("endpoint", "expected one of {}, found '{}'", fmt::join(kEndpoints, ", "), endpoint);
  }
  const std::string window = reader.get_string("completion_window").value_or("24h");
  if (window != "24h") fail_field("completion_window", "expected 24h, found '{}'", window);
  OrderedJson metadata = read_metadata(reader);
  const auto file = service.files().find(call.owner, file_id);
  if (!file) fail_no_file(file_id);
  call.exchange->respond(json_response(
      batch_json(batches.create(call, *file, std::move(endpoint), std::move(metadata)))));
}

void answer_batch(const RouteCall& call, const std::optional<Batch>& batch) {
  const std::string& id = call.parameters.at("id");
  if (!batch) throw ApiError(404, "not_found", fmt::format("there is no batch '{}'", id), "id");
  call.exchange->respond(json_response(batch_json(*batch)));
}

}  // namespace

void add_batches_routes(Router& router, ModelService& service, BatchRunner& batches) {
  router.add("POST", "/v1/batches", Access::kKey, [&service, &batches](RouteCall call) {
    const auto shared = std::make_shared<RouteCall>(std::move(call));
    // Files are long.
    service.prepare_later(shared->exchange, [&service, &batches, shared] {
      create_batch(service, batches, *shared);
    });
  });
  router.add("GET", "/v1/batches", Access::kKey, [&batches](const RouteCall& call) {
    OrderedJson data = OrderedJson::array();
    for (const Batch& batch : batches.list(call.owner)) data.push_back(batch_json(batch));
    call.exchange->respond(
        json_response({{"object", "list"}, {"data", std::move(data)}, {"has_more", false}}));
  });
  router.add("GET", "/v1/batches/{id}", Access::kKey, [&batches](const RouteCall& call) {
    answer_batch(call, batches.find(call.owner, call.parameters.at("id")));
  });
  router.add("POST", "/v1/batches/{id}/cancel", Access::kKey, [&batches](const RouteCall& call) {
    answer_batch(call, batches.cancel(call.owner, call.parameters.at("id")));
  });
}

}  // namespace llava::serve
