// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/files/files_api.h"

#include <utility>

#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/multipart.h"

namespace llava::serve {
namespace {

OrderedJson file_json(const StoredFile& file) {
  return {{"id", file.id},
          {"object", "file"},
          {"bytes", file.bytes->size()},
          {"created_at", file.created},
          {"filename", file.name},
          {"purpose", file.purpose},
          {"status", "processed"}};
}

StoredFile find_file(const ModelService& service, const RouteCall& call) {
  const std::string& id = call.parameters.at("id");
  auto file = service.files().find(call.owner, id);
  if (!file) fail_no_file(id);
  return *std::move(file);
}

void add_file(ModelService& service, const RouteCall& call) {
  std::optional<std::string> purpose;
  const FormPart* file = nullptr;
  const auto parts =
      parse_multipart(call.request.header("Content-Type").value_or(""), call.request.body);
  for (const FormPart& part : parts) {
    if (part.name == "purpose") purpose = std::string(part.body);
    if (part.name == "file") file = &part;
  }
  if (file == nullptr) throw ApiError(400, "missing_field", "file: is missing", "file");
  if (!purpose) throw ApiError(400, "missing_field", "purpose: is missing", "purpose");
  if (*purpose != "vision" && *purpose != "batch" && *purpose != "user_data") {
    fail_field("purpose", "expected vision, user_data or batch, found '{}'", *purpose);
  }
  if (*purpose != "batch") {
    // A picture that cannot be shown is refused now, and not by each request that names it.
    decode_image(file->body, {.location = {}, .param = "file"}, service.image_limits());
  }
  call.exchange->respond(json_response(file_json(service.files().add(
      call.owner, file->filename.value_or("file"), *purpose, std::string(file->body)))));
}

void list_files(const ModelService& service, const RouteCall& call) {
  const auto purpose = call.request.query_value("purpose");
  OrderedJson data = OrderedJson::array();
  for (const StoredFile& file : service.files().list(call.owner)) {
    if (!purpose || *purpose == file.purpose) data.push_back(file_json(file));
  }
  call.exchange->respond(
      json_response({{"object", "list"}, {"data", std::move(data)}, {"has_more", false}}));
}

void remove_file(ModelService& service, const RouteCall& call) {
  const std::string& id = call.parameters.at("id");
  if (!service.files().remove(call.owner, id)) fail_no_file(id);
  service.engine().unpin(id);
  call.exchange->respond(json_response({{"id", id}, {"object", "file"}, {"deleted", true}}));
}

}  // namespace

void fail_no_file(const std::string& id) {
  throw ApiError(404, "not_found", fmt::format("there is no file '{}'", id), "id");
}

void add_files_routes(Router& router, ModelService& service) {
  // Reading pictures and waiting for the engine are not for the threads that serve connections.
  const auto add_slow = [&](const char* method, const char* path, auto function) {
    router.add(method, path, Access::kKey, [&service, function](RouteCall call) {
      const auto shared = std::make_shared<RouteCall>(std::move(call));
      service.prepare_later(shared->exchange,
                            [&service, shared, function] { function(service, *shared); });
    });
  };
  add_slow("POST", "/v1/files", add_file);
  add_slow("DELETE", "/v1/files/{id}", remove_file);
  router.add("GET", "/v1/files", Access::kKey,
             [&service](const RouteCall& call) { list_files(service, call); });
  router.add("GET", "/v1/files/{id}", Access::kKey, [&service](const RouteCall& call) {
    call.exchange->respond(json_response(file_json(find_file(service, call))));
  });
  router.add("GET", "/v1/files/{id}/content", Access::kKey, [&service](const RouteCall& call) {
    call.exchange->respond(
        make_response(200, "application/octet-stream", *find_file(service, call).bytes));
  });
}

}  // namespace llava::serve
