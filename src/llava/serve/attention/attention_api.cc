// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/attention/attention_api.h"

#include <algorithm>
#include <ctime>
#include <span>
#include <utility>

#include "llava/image/patch_grid.h"
#include "llava/serve/attention/attention_request.h"
#include "llava/serve/openai/answer_json.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/float_lists.h"
#include "llava/text/stream_decoder.h"

namespace llava::serve {
namespace {

/// A picture of the prompt.
struct ShownPicture {
  int32_t num_tokens = 0;
  std::vector<image::PatchGrid> grids;
};

/// What the answer is made of, besides the numbers.
struct AttentionForm {
  AnswerHead head;
  int32_t layer = model::kAllLayers;
  int32_t num_layers = 0;
  bool is_base64 = false;
  int32_t num_answer_tokens = 0;
  int32_t first_token = 0;         ///< of the answer, the first whose attention is asked for
  std::vector<std::string> texts;  ///< of those tokens
  std::vector<ShownPicture> pictures;
};

std::string_view name_of(image::GridView view) {
  return view == image::GridView::kWhole ? "whole" : "tiles";
}

OrderedJson grid_json(const image::PatchGrid& grid) {
  const image::FractionRect& area = grid.rectangle;
  return {{"view", name_of(grid.view)},
          {"rows", grid.rows},
          {"columns", grid.columns},
          {"rectangle",
           {{"x", area.x}, {"y", area.y}, {"width", area.width}, {"height", area.height}}}};
}

OrderedJson pictures_json(std::span<const ShownPicture> pictures) {
  OrderedJson list = OrderedJson::array();
  for (const ShownPicture& picture : pictures) {
    OrderedJson grids = OrderedJson::array();
    for (const image::PatchGrid& grid : picture.grids) grids.push_back(grid_json(grid));
    list.push_back({{"num_tokens", picture.num_tokens}, {"grids", std::move(grids)}});
  }
  return list;
}

/// What a token gives to a picture's tokens.
OrderedJson map_json(const ShownPicture& picture, std::span<const float> map, bool is_base64) {
  double share = 0;
  for (const float value : map) share += value;
  OrderedJson weights = OrderedJson::array();
  for (const image::PatchGrid& grid : picture.grids) {
    std::vector<float> values;
    values.reserve(grid.tokens.size());
    for (const int32_t token : grid.tokens) values.push_back(map[static_cast<std::size_t>(token)]);
    weights.push_back(float_list_json(values, is_base64));
  }
  return {{"share", share}, {"weights", std::move(weights)}};
}

/// Keeps what the engine says and answers when all is there.
class AttentionWriter final : public AnswerWriter {
 public:
  AttentionWriter(AttentionForm form, ModelService& service, std::shared_ptr<HttpExchange> exchange)
      : form_(std::make_shared<const AttentionForm>(std::move(form))),
        service_(service),
        exchange_(std::move(exchange)) {}

  void write(const engine::AnswerDelta& delta) override {
    for (const engine::TokenChoice& token : delta.tokens) ids_.push_back(token.id);
    maps_.insert(maps_.end(), delta.attention.begin(), delta.attention.end());
  }

  /// Many numbers take a while to write: not on the connection's strand.
  void end(const engine::AnswerUsage& usage) override {
    try {
      service_.prepare_later(exchange_, [form = form_, exchange = exchange_, usage,
                                         ids = std::move(ids_), maps = std::move(maps_)] {
        exchange->respond(json_response(answer_json(*form, usage, ids, maps)));
      });
    } catch (const ApiError& error) {
      fail(error);
    }
  }

  void fail(const ApiError& error) override { exchange_->respond(error_response(error)); }

 private:
  static OrderedJson answer_json(const AttentionForm& form, const engine::AnswerUsage& usage,
                                 std::span<const int32_t> ids, std::span<const float> maps) {
    if (ids.size() != form.texts.size()) {
      throw ApiError(503, "overloaded",
                     fmt::format("the request was ended, or the KV cache has no room for prompt "
                                 "and answer together: {} of {} tokens were computed",
                                 ids.size(), form.texts.size()));
    }
    OrderedJson json = head_json(form.head, form.head.object);
    json["layer"] = form.layer == model::kAllLayers ? OrderedJson() : OrderedJson(form.layer);
    json["num_layers"] = form.num_layers;
    json["num_answer_tokens"] = form.num_answer_tokens;
    json["images"] = pictures_json(form.pictures);
    OrderedJson tokens = OrderedJson::array();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      OrderedJson pictures = OrderedJson::array();
      for (const ShownPicture& picture : form.pictures) {
        const auto count = static_cast<std::size_t>(picture.num_tokens);
        pictures.push_back(map_json(picture, maps.first(count), form.is_base64));
        maps = maps.subspan(count);
      }
      tokens.push_back({{"index", form.first_token + static_cast<int32_t>(i)},
                        {"id", ids[i]},
                        {"text", form.texts[i]},
                        {"images", std::move(pictures)}});
    }
    json["tokens"] = std::move(tokens);
    json["usage"] = usage_json(usage, form.head.image_tokens);
    return json;
  }

  std::shared_ptr<const AttentionForm> form_;
  ModelService& service_;
  std::shared_ptr<HttpExchange> exchange_;
  std::vector<int32_t> ids_;
  std::vector<float> maps_;
};

/// The texts of tokens, which together are the answer; a token that ends within a character has
/// none, and the one that completes it has all of it.
std::vector<std::string> texts_of(const text::Tokenizer& tokenizer, std::span<const int32_t> ids) {
  text::StreamDecoder decoder(tokenizer, /*skip_special=*/false);
  std::vector<std::string> texts;
  for (const int32_t id : ids) texts.push_back(decoder.push(id));
  if (!texts.empty()) texts.back() += decoder.finish();
  return texts;
}

/// Where the answer begins in a prompt that it is part of: what comes behind the prompt without it.
/// A token that holds the end of one and the beginning of the other is the answer's.
std::size_t begin_of_answer(std::span<const int32_t> with, std::span<const int32_t> without) {
  const auto [first, second] = std::ranges::mismatch(with, without);
  return static_cast<std::size_t>(first - with.begin());
}

std::vector<ShownPicture> pictures_of(const engine::Pretrained& pretrained,
                                      const engine::GenerationRequest& request) {
  std::vector<ShownPicture> pictures;
  for (const text::ImageSpan& span : request.prompt.images) {
    const image::ImageLayout& layout = request.images[static_cast<std::size_t>(span.image)].layout;
    pictures.push_back(
        {.num_tokens = span.num_tokens,
         .grids = image::plan_patch_grids(layout, pretrained.model->config.vision.patch_size,
                                          pretrained.geometry.tile_size)});
  }
  return pictures;
}

/// The tokens asked for; those behind the end of the answer are left out.
std::pair<std::size_t, std::size_t> range_of(const AttentionRequest& request,
                                             std::size_t num_tokens) {
  if (!request.tokens) return {0, num_tokens};
  const auto [begin, end] = *request.tokens;
  if (std::cmp_greater_equal(begin, num_tokens)) {
    fail_field("tokens", "begins at {}, but the answer has {} tokens", begin, num_tokens);
  }
  return {static_cast<std::size_t>(begin), std::min(static_cast<std::size_t>(end), num_tokens)};
}

void answer_attention(ModelService& service, const RouteCall& call, AttentionRequest& request) {
  const engine::Pretrained& pretrained = service.pretrained();
  const int32_t num_layers = pretrained.model->config.decoder.num_hidden_layers;
  if (request.layer >= num_layers) {
    fail_field("layer", "is {}, but the model has the layers 0 to {}", request.layer,
               num_layers - 1);
  }
  PreparedChat prepared = service.prepare(request.chat, call);
  request.chat.turns.pop_back();
  request.chat.continues_last = false;
  const PreparedChat question = service.prepare(request.chat, call);

  engine::GenerationRequest& generation = prepared.request;
  std::vector<int32_t>& ids = generation.prompt.ids;
  const std::size_t begin = begin_of_answer(ids, question.request.prompt.ids);
  const std::vector<int32_t> answer(ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.end());
  if (answer.empty()) fail_field("messages", "the last message, the answer, is empty");
  const auto [first, end] = range_of(request, answer.size());
  ids.resize(begin + first);
  generation.look =
      engine::LookRequest{.answer = {answer.begin() + static_cast<std::ptrdiff_t>(first),
                                     answer.begin() + static_cast<std::ptrdiff_t>(end)},
                          .layer = request.layer};
  generation.params.max_new_tokens = static_cast<int32_t>(end - first);

  AttentionForm form;
  form.head = {.id = "attn-" + call.id,
               .object = "attention",
               .created = std::time(nullptr),
               .model = service.names().front(),
               .fingerprint = service.fingerprint(),
               .image_tokens = prepared.image_tokens};
  form.layer = request.layer;
  form.num_layers = num_layers;
  form.is_base64 = request.is_base64;
  form.num_answer_tokens = static_cast<int32_t>(answer.size());
  form.first_token = static_cast<int32_t>(first);
  form.texts = texts_of(*pretrained.tokenizer, std::span(answer).first(end));
  form.texts.erase(form.texts.begin(), form.texts.begin() + static_cast<std::ptrdiff_t>(first));
  form.pictures = pictures_of(pretrained, generation);
  service.answer(std::move(prepared), call.exchange,
                 std::make_unique<AttentionWriter>(std::move(form), service, call.exchange));
}

}  // namespace

void add_attention_route(Router& router, ModelService& service) {
  router.add("POST", "/v1/attention", Access::kKey, [&service](RouteCall call) {
    const auto shared = std::make_shared<RouteCall>(std::move(call));
    service.prepare_later(shared->exchange, [&service, shared] {
      const auto request = std::make_shared<AttentionRequest>(
          read_attention_request(parse_body(shared->request.body), service.limits()));
      // Pictures are large, and what has been parsed is all that is needed.
      shared->request.body = {};
      service.check_model(request->chat.model);
      service.check_unknown(request->chat.unknown_fields);
      service.with_images(*shared, request->chat.images, [&service, shared, request] {
        answer_attention(service, *shared, *request);
      });
    });
  });
}

}  // namespace llava::serve
