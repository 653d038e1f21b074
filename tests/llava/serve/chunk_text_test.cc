// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/openai/chunk_text.h"

#include <gtest/gtest.h>

#include <random>

#include "fake_exchange.h"
#include "llava/engine/fake_tokenizer.h"
#include "llava/serve/openai/chat_writer.h"
#include "llava/serve/openai/completion_writer.h"

namespace llava::serve {
namespace {

using testing::FakeExchange;

/// Texts that JSON writes in some other way, or that are no UTF-8 at all.
const std::vector<std::string> kTexts = {
    "",
    " plain",
    "\"quotes\" and \\ back\\slashes/",
    std::string("\0\x01\b\t\n\v\f\r\x1b\x1f\x7f", 11),
    "\xC3\xA9t\xC3\xA9 \xE4\xB8\xAD\xE6\x96\x87 \xF0\x9F\x98\x80",
    "line\xE2\x80\xA8paragraph\xE2\x80\xA9next\xC2\x85.",
    "half a character \xE4\xB8",
    "\xFF\xC0\x80\xED\xA0\x80 none",
    "</script><!-- & ' {\"a\":[1]}",
};

std::string random_bytes(std::mt19937& random) {
  // Mostly ASCII, where the fast path is.
  std::uniform_int_distribution<int> byte(0, random() % 4 == 0 ? 255 : 127);
  std::string text(random() % 24, ' ');
  for (char& c : text) c = static_cast<char>(byte(random));
  return text;
}

TEST(ChunkTextTest, StringsAreThoseOfTheLibrary) {
  std::vector<std::string> texts = kTexts;
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) texts.push_back(random_bytes(random));
  for (const std::string& text : texts) {
    std::string out = "before ";
    append_json_string(out, text);
    ASSERT_EQ(out, "before " + to_text(OrderedJson(text)));
  }
}

/// An answer in pieces, each with its token, and its end.
std::vector<engine::AnswerDelta> make_deltas(int32_t num_choices) {
  std::vector<engine::AnswerDelta> deltas;
  int32_t id = 0;
  for (const std::string& text : kTexts) {
    for (int32_t choice = 0; choice < num_choices; ++choice) {
      engine::AnswerDelta delta;
      delta.choice = choice;
      delta.text = text;
      delta.tokens.push_back({.id = ++id, .logprob = -0.1f * static_cast<float>(id), .top = {}});
      delta.tokens.back().top.push_back({.id = id + 1, .logprob = -1e30f});
      deltas.push_back(std::move(delta));
    }
  }
  for (int32_t choice = 0; choice < num_choices; ++choice) {
    engine::AnswerDelta last;
    last.choice = choice;
    last.finish_reason = engine::FinishReason::kLength;
    deltas.push_back(std::move(last));
  }
  return deltas;
}

const AnswerHead kHead{.id = "chatcmpl-\"1\"",
                       .object = "chat.completion",
                       .created = 1718000000,
                       .model = "a \\ \xE6\xA8\xA1",
                       .fingerprint = "llava-1"};
constexpr engine::AnswerUsage kUsage{.prompt_tokens = 5, .completion_tokens = 9};

/// What a client gets, written by the library alone.
std::string expected_chat(const ChatAnswerForm& form, const text::Tokenizer& tokenizer) {
  std::string bytes;
  std::vector<int32_t> num_tokens(static_cast<std::size_t>(form.num_choices));
  std::vector<bool> has_begun(num_tokens.size());
  int32_t total = 0;
  const auto write = [&](int32_t index, OrderedJson delta, OrderedJson logprobs, bool is_last) {
    OrderedJson choice{{"index", index}};
    choice["delta"] = std::move(delta);
    choice["logprobs"] = std::move(logprobs);
    choice["finish_reason"] = is_last ? OrderedJson("length") : OrderedJson();
    if (is_last) choice["stop_reason"] = nullptr;
    OrderedJson chunk = head_json(form.head, "chat.completion.chunk");
    chunk["choices"] = OrderedJson::array({std::move(choice)});
    if (form.has_continuous_usage) {
      chunk["usage"] = {{"completion_tokens", total}};
    } else if (form.includes_usage) {
      chunk["usage"] = nullptr;
    }
    bytes += event_of(chunk);
  };
  for (const engine::AnswerDelta& delta : make_deltas(form.num_choices)) {
    const auto i = static_cast<std::size_t>(delta.choice);
    if (!has_begun[i]) {
      write(delta.choice, {{"role", "assistant"}, {"content", ""}}, {}, false);
      has_begun[i] = true;
    }
    const bool has_tokens = form.has_logprobs && !delta.tokens.empty();
    OrderedJson logprobs;
    if (has_tokens) {
      logprobs["content"] = logprobs_json(tokenizer, delta.tokens, num_tokens[i] == 0);
    }
    num_tokens[i] += static_cast<int32_t>(delta.tokens.size());
    total += static_cast<int32_t>(delta.tokens.size());
    if (!delta.text.empty() || has_tokens) {
      write(delta.choice, {{"content", delta.text}}, logprobs, false);
    }
    if (delta.finish_reason) write(delta.choice, OrderedJson::object(), {}, true);
  }
  if (form.includes_usage) {
    OrderedJson chunk = head_json(form.head, "chat.completion.chunk");
    chunk["choices"] = OrderedJson::array();
    chunk["usage"] = usage_json(kUsage, 0);
    bytes += event_of(chunk);
  }
  return bytes + std::string(kLastEvent);
}

TEST(ChunkTextTest, StreamsOfChatsAreThoseOfTheLibrary) {
  const engine::FakeTokenizer tokenizer(1000);
  for (int bits = 0; bits < 16; ++bits) {
    ChatAnswerForm form;
    form.head = kHead;
    form.is_streamed = true;
    form.num_choices = bits & 1 ? 3 : 1;
    form.has_logprobs = (bits & 2) != 0;
    form.includes_usage = (bits & 4) != 0;
    form.has_continuous_usage = (bits & 8) != 0;
    const auto exchange = std::make_shared<FakeExchange>();
    const auto writer = make_chat_writer(form, tokenizer, exchange);
    for (const auto& delta : make_deltas(form.num_choices)) writer->write(delta);
    writer->end(kUsage);
    EXPECT_EQ(exchange->answer->body, expected_chat(form, tokenizer)) << "form " << bits;
  }
}

TEST(ChunkTextTest, StreamsOfCompletionsAreThoseOfTheLibrary) {
  for (const bool includes_usage : {false, true}) {
    CompletionForm form;
    form.head = kHead;
    form.head.object = "text_completion";
    form.is_streamed = true;
    form.includes_usage = includes_usage;
    const engine::FakeTokenizer tokenizer(1000);
    const auto exchange = std::make_shared<FakeExchange>();
    const auto answer = std::make_shared<CompletionAnswer>(form, tokenizer, exchange);
    const auto writer = answer->writer_of(0);
    std::string expected;
    for (const engine::AnswerDelta& delta : make_deltas(1)) {
      writer->write(delta);
      if (delta.text.empty() && !delta.finish_reason) continue;
      OrderedJson chunk = head_json(form.head, "text_completion");
      const OrderedJson reason = delta.finish_reason
                                     ? OrderedJson(finish_reason_word(*delta.finish_reason))
                                     : OrderedJson();
      chunk["choices"] = OrderedJson::array(
          {{{"index", 0}, {"text", delta.text}, {"logprobs", nullptr}, {"finish_reason", reason}}});
      if (includes_usage) chunk["usage"] = nullptr;
      expected += event_of(chunk);
    }
    EXPECT_EQ(exchange->answer->body, expected);
  }
}

}  // namespace
}  // namespace llava::serve
