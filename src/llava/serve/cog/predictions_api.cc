// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/cog/predictions_api.h"

#include <limits>
#include <utility>

#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

/// The original's defaults.
constexpr int64_t kMaxTokens = 1024;
constexpr double kTemperature = 0.2;
constexpr double kTopP = 1.0;
constexpr double kHighestTemperature = 100;

ChatRequest read_prediction(const OrderedJson& body) {
  FieldReader outer(body, "");
  const OrderedJson* input = outer.find("input");
  if (input == nullptr) throw ApiError(400, "missing_field", "input: is missing", "input");
  if (!input->is_object()) outer.wrong_type("input", "an object");
  FieldReader reader(*input, "input.");
  auto image = reader.get_string("image");
  auto prompt = reader.get_string("prompt");
  for (const auto& [name, value] : {std::pair{"image", &image}, std::pair{"prompt", &prompt}}) {
    if (*value) continue;
    throw ApiError(400, "missing_field", fmt::format("input.{}: is missing", name),
                   fmt::format("input.{}", name));
  }
  ChatRequest chat;
  chat.images.push_back({.location = *std::move(image), .param = reader.path_of("image")});
  chat.turns.push_back({.role = ChatTurn::Role::kUser,
                        .parts = {{.text = {}, .image = 0}, {.text = *std::move(prompt)}}});
  // The original cuts the middle out and pads nothing.
  chat.image_aspect_ratio = "square";
  GenerationFields& fields = chat.generation;
  fields.top_p = static_cast<float>(reader.get_number("top_p", 0, 1).value_or(kTopP));
  fields.temperature = static_cast<float>(
      reader.get_number("temperature", 0, kHighestTemperature).value_or(kTemperature));
  fields.max_tokens = static_cast<int32_t>(
      reader.get_int("max_tokens", 1, std::numeric_limits<int32_t>::max()).value_or(kMaxTokens));
  return chat;
}

/// Collects the answer's pieces.
class PredictionWriter final : public AnswerWriter {
 public:
  explicit PredictionWriter(std::shared_ptr<HttpExchange> exchange)
      : exchange_(std::move(exchange)) {}

  void write(const engine::AnswerDelta& delta) override {
    if (!delta.text.empty()) pieces_.push_back(delta.text);
  }
  void end(const engine::AnswerUsage&) override {
    exchange_->respond(json_response({{"status", "succeeded"}, {"output", std::move(pieces_)}}));
  }
  void fail(const ApiError& error) override { exchange_->respond(error_response(error)); }

 private:
  std::shared_ptr<HttpExchange> exchange_;
  OrderedJson pieces_ = OrderedJson::array();
};

}  // namespace

void add_predictions_route(Router& router, ModelService& service) {
  router.add("POST", "/predictions", Access::kKey, [&service](RouteCall call) {
    const auto shared = std::make_shared<RouteCall>(std::move(call));
    service.prepare_later(shared->exchange, [&service, shared] {
      const auto chat =
          std::make_shared<ChatRequest>(read_prediction(parse_body(shared->request.body)));
      service.with_images(*shared, chat->images, [&service, shared, chat] {
        service.answer(service.prepare(*chat, *shared), shared->exchange,
                       std::make_unique<PredictionWriter>(shared->exchange));
      });
    });
  });
}

}  // namespace llava::serve
