// SPDX-License-Identifier: Apache-2.0
//
// POST /v1/attention: where an answer looked. The numbers themselves are those of tests/golden.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "data_url.h"
#include "program.h"
#include "server_process.h"
#include "support/http_client.h"

namespace llava::testing {
namespace {

using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

const char* const kModel = "llava-v1.5-pad";
const char* const kAnswer = "A wide picture, with shapes.";

class Attention : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    // Four by four patches on a square of 150 pixels, of which the picture's 13 rows are in two.
    wide_ = new std::string(data_url_of(golden_image("wide_150x13.png")));
    server_ = new ServerProcess(Strings{"serve", "--port", "0", "--drain-delay", "0", "--dtype",
                                        "float32", "--model-path", golden_model(kModel)});
  }
  static void TearDownTestSuite() {
    delete server_;
    delete wide_;
  }

  static Json message(const std::string& role, const std::string& text, int num_pictures = 0) {
    Json content = Json::array();
    for (int i = 0; i < num_pictures; ++i) {
      content.push_back({{"type", "image_url"}, {"image_url", {{"url", *wide_}}}});
    }
    content.push_back({{"type", "text"}, {"text", text}});
    return {{"role", role}, {"content", num_pictures > 0 ? content : Json(text)}};
  }

  /// A question about a picture, and its answer.
  static Json body(const Json& members = Json::object()) {
    Json body{{"messages", {message("user", "What is shown?", 1), message("assistant", kAnswer)}}};
    body.update(members);
    return body;
  }

  static HttpReply post(const Json& body, const std::string& path = "/v1/attention") {
    return http_post(server_->port(), path, body.dump());
  }

  static Json look(const Json& body) {
    const HttpReply reply = post(body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return parse_json(reply.body, "answer");
  }

  static Json error(const Json& body, int status = 400) {
    const HttpReply reply = post(body);
    EXPECT_EQ(reply.status, status) << reply.body;
    return parse_json(reply.body, "error")["error"];
  }

  static std::vector<double> weights(const Json& answer, std::size_t token, std::size_t grid = 0) {
    return answer["tokens"][token]["images"][0]["weights"][grid].get<std::vector<double>>();
  }

  static inline std::string* wide_ = nullptr;
  static inline ServerProcess* server_ = nullptr;
};

TEST_F(Attention, SaysForEveryTokenWhereItLooked) {
  const Json answer = look(body());
  EXPECT_EQ(answer["object"], "attention");
  EXPECT_EQ(answer["model"], kModel);
  EXPECT_TRUE(answer["layer"].is_null());
  EXPECT_EQ(answer["num_layers"], 2);
  ASSERT_EQ(answer["images"].size(), 1u);
  EXPECT_EQ(answer["images"][0]["num_tokens"], 16);
  const Json& grid = answer["images"][0]["grids"][0];
  EXPECT_EQ(grid["view"], "whole");
  EXPECT_EQ(grid["rows"], 2);
  EXPECT_EQ(grid["columns"], 4);
  EXPECT_DOUBLE_EQ(grid["rectangle"]["x"].get<double>(), 0);
  EXPECT_DOUBLE_EQ(grid["rectangle"]["width"].get<double>(), 1);
  EXPECT_NEAR(grid["rectangle"]["y"].get<double>(), (37.5 - 68) / 13, 1e-12);
  EXPECT_NEAR(grid["rectangle"]["height"].get<double>(), 75.0 / 13, 1e-12);

  std::string text;
  const std::size_t num_tokens = answer["tokens"].size();
  EXPECT_EQ(answer["num_answer_tokens"], num_tokens);
  EXPECT_EQ(answer["usage"]["completion_tokens"], num_tokens);
  for (std::size_t i = 0; i < num_tokens; ++i) {
    const Json& token = answer["tokens"][i];
    EXPECT_EQ(token["index"], i);
    text += token["text"].get<std::string>();
    const double share = token["images"][0]["share"].get<double>();
    double sum = 0;
    for (const double weight : weights(answer, i)) {
      EXPECT_GT(weight, 0);
      sum += weight;
    }
    EXPECT_EQ(weights(answer, i).size(), 8u);
    // The share counts the patches of padding as well.
    EXPECT_GT(share, sum);
    EXPECT_LT(share, 1);
  }
  EXPECT_EQ(text, kAnswer);
}

TEST_F(Attention, LayersAndRangesAndEncodingsAreOfTheSameNumbers) {
  const Json all = look(body());
  const Json first = look(body({{"layer", 0}}));
  const Json second = look(body({{"layer", 1}}));
  EXPECT_EQ(second["layer"], 1);
  for (std::size_t i = 0; i < all["tokens"].size(); ++i) {
    for (std::size_t cell = 0; cell < 8; ++cell) {
      EXPECT_NEAR(weights(all, i)[cell], (weights(first, i)[cell] + weights(second, i)[cell]) / 2,
                  1e-7);
    }
  }
  const Json part = look(body({{"tokens", {2, 5}}}));
  EXPECT_EQ(part["num_answer_tokens"], all["num_answer_tokens"]);
  EXPECT_EQ(part["tokens"], Json(all["tokens"].begin() + 2, all["tokens"].begin() + 5));
  const Json rest = look(body({{"tokens", {3, 1000}}}));
  EXPECT_EQ(rest["tokens"], Json(all["tokens"].begin() + 3, all["tokens"].end()));

  const Json coded = look(body({{"encoding_format", "base64"}}));
  const ProcessResult bytes =
      run_process({.arguments = {"/usr/bin/base64", "-d"}},
                  coded["tokens"][1]["images"][0]["weights"][0].get<std::string>());
  ASSERT_EQ(bytes.out.size(), 8 * sizeof(float));
  for (std::size_t cell = 0; cell < 8; ++cell) {
    float value = 0;
    std::memcpy(&value, bytes.out.data() + cell * sizeof(float), sizeof(float));
    EXPECT_EQ(static_cast<float>(weights(all, 1)[cell]), value);
  }
}

TEST_F(Attention, AnswersAreTheSameWithLooksBetweenThem) {
  Json question{{"messages", {message("user", "What is shown?", 1)}},
                {"temperature", 0},
                {"max_tokens", 12},
                {"logprobs", true},
                {"cache_salt", "before"}};
  const auto choices = [&] {
    return parse_json(post(question, "/v1/chat/completions").body, "answer")["choices"];
  };
  const Json before = choices();
  const Json looked = look(body());
  question["cache_salt"] = "after";
  EXPECT_EQ(choices(), before);
  // With everything in the cache, and with nothing.
  EXPECT_EQ(look(body())["tokens"], looked["tokens"]);
  EXPECT_EQ(look(body({{"cache_salt", "other"}}))["tokens"], looked["tokens"]);
}

TEST_F(Attention, EveryPictureOfTheConversationHasItsMap) {
  const Json answer = look({{"messages",
                             {message("user", "Which?", 2), message("assistant", "This."),
                              message("user", "And now?", 1), message("assistant", kAnswer)}}});
  EXPECT_EQ(answer["images"].size(), 3u);
  EXPECT_EQ(answer["tokens"][0]["images"].size(), 3u);
  EXPECT_EQ(answer["usage"]["prompt_tokens_details"]["image_tokens"], 48);
}

TEST_F(Attention, ErrorsNameTheField) {
  Json wrong = error(body({{"layer", 2}}));
  EXPECT_EQ(wrong["param"], "layer");
  EXPECT_THAT(wrong["message"].get<std::string>(), HasSubstr("has the layers 0 to 1"));
  EXPECT_EQ(error(body({{"layer", -1}}))["param"], "layer");
  EXPECT_EQ(error(body({{"tokens", {4, 2}}}))["param"], "tokens");
  EXPECT_EQ(error(body({{"tokens", "all"}}))["param"], "tokens");
  wrong = error(body({{"tokens", {500, 501}}}));
  EXPECT_THAT(wrong["message"].get<std::string>(), HasSubstr("tokens: begins at 500"));
  EXPECT_EQ(error(body({{"encoding_format", "hex"}}))["param"], "encoding_format");
  Json question = body();
  question["messages"].erase(1);
  wrong = error(question);
  EXPECT_EQ(wrong["param"], "messages");
  EXPECT_THAT(wrong["message"].get<std::string>(), HasSubstr("has to be the assistant's"));
  wrong = error({{"messages", {message("user", "Hi"), message("assistant", "Hello")}}});
  EXPECT_THAT(wrong["message"].get<std::string>(), HasSubstr("shows a picture"));
  Json empty = body();
  empty["messages"][1] = message("assistant", "");
  wrong = error(empty);
  EXPECT_THAT(wrong["message"].get<std::string>(), HasSubstr("empty"));
  EXPECT_EQ(error(body({{"model", "other"}}), 404)["code"], "model_not_found");
  Json many = body();
  std::string words;
  for (int i = 0; i < 2000; ++i) words += "many words ";
  many["messages"][1] = message("assistant", words);
  EXPECT_EQ(error(many)["code"], "context_length_exceeded");
}

}  // namespace
}  // namespace llava::testing
