// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/batches/batch.h"

#include <fmt/format.h>

#include <unordered_set>
#include <utility>

#include "llava/core/error.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

constexpr std::size_t kMaxLines = 50'000;
constexpr std::size_t kMaxErrors = 20;

BatchLine read_line(std::string_view text, std::string_view endpoint) {
  const OrderedJson json = parse_body(text);
  FieldReader reader(json, "");
  auto id = reader.get_string("custom_id");
  if (!id) fail_field("custom_id", "is missing");
  const std::string method = reader.get_string("method").value_or("POST");
  if (method != "POST") fail_field("method", "expected POST, found '{}'", method);
  const std::string url = reader.get_string("url").value_or("");
  if (url != endpoint) fail_field("url", "expected {}, found '{}'", endpoint, url);
  const OrderedJson* body = reader.find("body");
  if (body == nullptr || !body->is_object()) fail_field("body", "expected an object");
  FieldReader fields(*body, "body.");
  if (fields.get_bool("stream").value_or(false)) fail_field("body.stream", "is not for batches");
  return {.custom_id = *std::move(id), .body = to_text(*body)};
}

std::string_view status_name(BatchStatus status) {
  switch (status) {
    case BatchStatus::kInProgress:
      return "in_progress";
    case BatchStatus::kCompleted:
      return "completed";
    case BatchStatus::kFailed:
      return "failed";
    case BatchStatus::kCancelling:
      return "cancelling";
    case BatchStatus::kCancelled:
      break;
  }
  return "cancelled";
}

OrderedJson or_null(const std::string& text) {
  return text.empty() ? OrderedJson() : OrderedJson(text);
}

}  // namespace

BatchInput read_batch_input(std::string_view text, std::string_view endpoint) {
  BatchInput input;
  std::unordered_set<std::string> ids;
  int64_t number = 0;
  while (!text.empty() && input.errors.size() < kMaxErrors) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    try {
      BatchLine read = read_line(line, endpoint);
      if (!ids.insert(read.custom_id).second) {
        fail_field("custom_id", "'{}' occurs twice", read.custom_id);
      }
      input.lines.push_back(std::move(read));
    } catch (const ApiError& error) {
      input.errors.push_back({.message = error.what(), .line = number});
    }
    if (input.lines.size() > kMaxLines) {
      input.errors.push_back({.message = fmt::format("more than {} requests", kMaxLines)});
      break;
    }
  }
  if (input.lines.empty() && input.errors.empty()) {
    input.errors.push_back({.message = "there are no requests in the file"});
  }
  return input;
}

OrderedJson batch_json(const Batch& batch) {
  const auto time_if = [&](bool is_so, int64_t time) {
    return is_so && time > 0 ? OrderedJson(time) : OrderedJson();
  };
  OrderedJson json;
  json["id"] = batch.id;
  json["object"] = "batch";
  json["endpoint"] = batch.endpoint;
  json["errors"] = nullptr;
  if (!batch.errors.empty()) {
    OrderedJson list = OrderedJson::array();
    for (const BatchError& error : batch.errors) {
      list.push_back({{"code", "invalid_request"},
                      {"message", error.message},
                      {"param", nullptr},
                      {"line", error.line > 0 ? OrderedJson(error.line) : OrderedJson()}});
    }
    json["errors"] = {{"object", "list"}, {"data", std::move(list)}};
  }
  json["input_file_id"] = batch.input_file;
  json["completion_window"] = "24h";
  json["status"] = status_name(batch.status);
  json["output_file_id"] = or_null(batch.output_file);
  json["error_file_id"] = or_null(batch.error_file);
  json["created_at"] = batch.created;
  json["in_progress_at"] = time_if(batch.status != BatchStatus::kFailed, batch.created);
  json["completed_at"] = time_if(batch.status == BatchStatus::kCompleted, batch.ended);
  json["failed_at"] = time_if(batch.status == BatchStatus::kFailed, batch.ended);
  json["cancelling_at"] = time_if(true, batch.cancelled);
  json["cancelled_at"] = time_if(batch.status == BatchStatus::kCancelled, batch.ended);
  json["request_counts"] = {
      {"total", batch.num_lines}, {"completed", batch.num_answered}, {"failed", batch.num_failed}};
  json["metadata"] = batch.metadata;
  return json;
}

}  // namespace llava::serve
