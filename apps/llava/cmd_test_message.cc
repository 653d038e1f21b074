// SPDX-License-Identifier: Apache-2.0
//
// `llava test-message`: one question through a controller or to a worker; the original's
// test_message, as a check that fails when something does.
#include <algorithm>
#include <cstdio>
#include <future>

#include "command.h"
#include "command_line.h"
#include "llava/core/base64.h"
#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/serve/client/outgoing_http.h"
#include "llava/serve/legacy/record_splitter.h"
#include "llava/serve/legacy/wire_json.h"
#include "llava/text/conversation.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "test-message",
    .summary = "Sends one question through the original's protocol and prints the answer.",
    .details = "Ends with an error when there is no worker, or when it answers with one.",
    .examples =
        "  llava test-message --controller-address http://localhost:21001 --model-name "
        "llava-v1.5-7b\n"
        "  llava test-message --worker-address http://localhost:21002 --image photo.jpg \\\n"
        "      --message \"What is this?\""};

struct TestOptions {
  std::string controller_address = "http://localhost:21001";
  std::string worker_address;
  std::string worker_token;
  std::string model_name = "facebook/opt-350m";
  int32_t max_new_tokens = 32;
  std::string message = "Tell me a story with more than 1000 words.";
  std::string image;

  template <class V>
  void describe(V& v) {
    v.field("controller-address", controller_address, "where the controller is");
    v.field("worker-address", worker_address,
            "a worker, instead of the one that the controller names");
    v.field("worker", worker_address, "the same, in short");
    v.field("worker-token", worker_token, "secret that controller and worker want to be shown");
    v.field("model-name", model_name, "the model that is asked for");
    v.field("max-new-tokens", max_new_tokens, "upper bound on generated tokens",
            in_range(1, 1 << 20));
    v.field("message", message, "the question");
    v.field("image", image, "picture that is sent with it");
  }
};

serve::OutgoingRequest request_to(const TestOptions& options, std::string address,
                                  std::string body) {
  serve::OutgoingRequest request{.url = std::move(address), .body = std::move(body)};
  request.headers.push_back({"User-Agent", "LLaVA Client"});
  if (!options.worker_token.empty()) {
    request.headers.push_back({"Authorization", "Bearer " + options.worker_token});
  }
  return request;
}

Json ask(serve::OutgoingHttp& http, const TestOptions& options, const std::string& path,
         const OrderedJson& body) {
  const std::string address = options.controller_address + path;
  const serve::OutgoingReply reply =
      http.fetch(request_to(options, address, serve::compact_json(body)));
  if (!reply.end.is_ok()) {
    fail(ErrorCode::kUnavailable, "'{}' does not answer: {}", address,
         reply.end.error.empty() ? fmt::format("status {}", reply.end.status) : reply.end.error);
  }
  return parse_json(reply.body, address);
}

std::string find_worker(serve::OutgoingHttp& http, const TestOptions& options) {
  if (!options.worker_address.empty()) return options.worker_address;
  ask(http, options, "/refresh_all_workers", OrderedJson::object());
  const Json listed = ask(http, options, "/list_models", OrderedJson::object());
  auto models = JsonObject(listed, "/list_models")
                    .get_string_list("models")
                    .value_or(std::vector<std::string>{});
  std::ranges::sort(models);
  fmt::print(stderr, "Models: [{}]\n", fmt::join(models, ", "));
  const Json found = ask(http, options, "/get_worker_address", {{"model", options.model_name}});
  const std::string address =
      JsonObject(found, "/get_worker_address").get_string("address").value_or("");
  if (address.empty()) {
    fail(ErrorCode::kNotFound, "no worker has the model '{}'; there {}: {}", options.model_name,
         models.size() == 1 ? "is" : "are",
         models.empty() ? "none" : fmt::format("{}", fmt::join(models, ", ")));
  }
  fmt::print(stderr, "worker_addr: {}\n", address);
  return address;
}

/// Prints the answer as its records come.
class RecordPrinter {
 public:
  explicit RecordPrinter(std::size_t prompt_bytes) : num_printed_(prompt_bytes) {}

  void print(std::string_view record) {
    const Json json = parse_json(record, "a record of the worker");
    const JsonObject object(json, "a record of the worker");
    const std::string text = object.get_string("text").value_or("");
    error_code_ = object.get_int("error_code").value_or(0);
    if (error_code_ != 0) {
      error_ = text;
      return;
    }
    if (text.size() <= num_printed_) return;
    fmt::print("{}", std::string_view(text).substr(num_printed_));
    std::fflush(stdout);
    num_printed_ = text.size();
  }

  void check() const {
    if (error_code_ == 0) return;
    fail(ErrorCode::kUnavailable, "the worker answers with error {}: {}", error_code_, error_);
  }

 private:
  std::size_t num_printed_;
  int64_t error_code_ = 0;
  std::string error_;
};

}  // namespace

int test_message_command(const Arguments& arguments) {
  TestOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  serve::OutgoingHttp http;
  const std::string worker = find_worker(http, options);
  const auto& conversation = text::find_conversation_template("vicuna_v1");
  const std::string question = (options.image.empty() ? "" : "<image>\n") + options.message;
  const std::vector<text::Message> messages = {{.role = conversation.roles[0], .text = question},
                                               {.role = conversation.roles[1], .text = {}}};
  const std::string prompt = text::render_conversation(conversation, messages);
  OrderedJson body = {{"model", options.model_name},
                      {"prompt", prompt},
                      {"max_new_tokens", options.max_new_tokens},
                      {"temperature", 0.7}};
  body["stop"] = conversation.sep2.value_or("</s>");
  if (!options.image.empty()) {
    constexpr uint64_t kMaxBytes = 20 << 20;
    body["images"] = {encode_base64(read_file(options.image, kMaxBytes))};
  }
  serve::RecordSplitter splitter;
  RecordPrinter printer(prompt.size());
  std::exception_ptr error;
  std::promise<serve::OutgoingEnd> ended;
  auto request = request_to(options, worker + "/worker_generate_stream", serve::compact_json(body));
  // A model on a slow machine may take long to its first word.
  request.silence_time = std::chrono::minutes(10);
  http.start(std::move(request),
             {.on_bytes =
                  [&](std::string_view bytes) {
                    try {
                      splitter.push(bytes, [&](std::string_view record) { printer.print(record); });
                    } catch (const Error&) {
                      if (!error) error = std::current_exception();
                    }
                  },
              .on_end = [&](const serve::OutgoingEnd& end) { ended.set_value(end); }});
  const serve::OutgoingEnd end = ended.get_future().get();
  fmt::print("\n");
  if (error) std::rethrow_exception(error);
  if (!end.is_ok()) {
    fail(ErrorCode::kUnavailable, "'{}' does not answer: {}", worker,
         end.error.empty() ? fmt::format("status {}", end.status) : end.error);
  }
  printer.check();
  return 0;
}

}  // namespace llava::app
