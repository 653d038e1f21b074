// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/matcher.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/text/grammar/accepts.h"
#include "llava/text/grammar/gbnf.h"
#include "llava/text/grammar/output_format.h"
#include "llava/text/grammar/random_walk.h"
#include "llava/text/grammar/vocabularies.h"

namespace llava::text::grammar {
namespace {

bool has_bit(std::span<const uint64_t> mask, int32_t id) {
  return (mask[static_cast<std::size_t>(id) / 64] >> id % 64 & 1) != 0;
}

constexpr const char* kGrammars[] = {
    "root ::= \"yes\" | \"no, \" [a-z ]{3,12}",
    "root ::= item (\", \" item)* \".\"?\nitem ::= [^,.]{1,9} | \"(\" item \")\"",
    "root ::= [\\u4e00-\\u9fff\\U0001F600-\\U0001F64F \\u00e9]{1,6}",
    "root ::= \" \"{0,3} \"the cat\" \"\\n\"* | \"\\\"\" [^\\\"]* \"\\\"\""};

// Masks hold exactly the tokens whose bytes go on with the text.
TEST(Matcher, AllowsWhatTheGrammarGoesOnWith) {
  for (const std::string& name : vocabulary_names()) {
    const auto tokenizer = open_vocabulary(name);
    const auto vocabulary = vocabulary_of(*tokenizer);
    for (const char* source : kGrammars) {
      SCOPED_TRACE(name + ": " + source);
      const Syntax syntax = parse_gbnf(source);
      const auto grammar = std::make_shared<Grammar>(syntax, vocabulary);
      Acceptor acceptor(syntax);
      for (uint64_t seed = 0; seed < 3; ++seed) {
        Generator generator(seed);
        Matcher matcher(grammar);
        std::string text;
        for (int step = 0; step < 12; ++step) {
          const auto mask = matcher.allowed();
          std::vector<int32_t> choices;
          for (int32_t id = 0; id < vocabulary->num_ids(); ++id) {
            if (vocabulary->is_end(id)) {
              ASSERT_EQ(has_bit(mask, id), acceptor.accepts(text));
              continue;
            }
            const std::string_view bytes = vocabulary->bytes(id, step == 0);
            const bool goes_on =
                !bytes.empty() && acceptor.accepts_beginning(text + std::string(bytes));
            // What needs a byte that the vocabulary lacks is left out as well.
            if (has_bit(mask, id)) {
              ASSERT_TRUE(goes_on) << id;
              choices.push_back(id);
            } else if (vocabulary->writable().count() == 256) {
              ASSERT_FALSE(goes_on) << id;
            }
          }
          if (choices.empty()) break;
          const int32_t id = choices[generator.below(choices.size())];
          ASSERT_TRUE(matcher.accept(id));
          text += vocabulary->bytes(id, step == 0);
        }
      }
    }
  }
}

// The text that is shown is the text that was checked.
TEST(Matcher, WalksDecodeToTextsOfTheGrammar) {
  for (const std::string& name : vocabulary_names()) {
    const auto tokenizer = open_vocabulary(name);
    const auto vocabulary = vocabulary_of(*tokenizer);
    for (const char* source : kGrammars) {
      SCOPED_TRACE(name + ": " + source);
      const Syntax syntax = parse_gbnf(source);
      std::shared_ptr<Grammar> grammar;
      try {
        grammar = std::make_shared<Grammar>(syntax, vocabulary);
      } catch (const Error& error) {
        // A vocabulary without byte pieces cannot write every grammar.
        ASSERT_EQ(error.code(), ErrorCode::kInvalidArgument);
        continue;
      }
      Acceptor acceptor(syntax);
      for (uint64_t seed = 0; seed < 20; ++seed) {
        Generator generator(seed);
        const std::vector<int32_t> ids = random_walk(grammar, generator, 20);
        const std::string text = tokenizer->decode(ids, true);
        ASSERT_TRUE(acceptor.accepts(text)) << text;
      }
    }
  }
}

TEST(Matcher, RefusesTokensThatAreNotAllowedAndStaysWhereItIs) {
  const auto tokenizer = open_vocabulary("gpt2");
  const auto vocabulary = vocabulary_of(*tokenizer);
  const auto grammar = std::make_shared<Grammar>(parse_gbnf("root ::= \"ab\""), vocabulary);
  const int32_t a = *tokenizer->id_of("a"), b = *tokenizer->id_of("b");
  const int32_t end = vocabulary->end_ids().front();
  Matcher matcher(grammar);
  EXPECT_FALSE(matcher.accept(b));
  EXPECT_FALSE(matcher.accept(end));
  EXPECT_FALSE(matcher.accept(-1));
  EXPECT_FALSE(matcher.accept(vocabulary->num_ids()));
  EXPECT_TRUE(matcher.accept(a));
  Matcher copy = matcher;
  EXPECT_TRUE(matcher.accept(b));
  EXPECT_TRUE(matcher.can_end());
  EXPECT_FALSE(copy.can_end());
  EXPECT_FALSE(matcher.accept(b));
  EXPECT_TRUE(matcher.accept(end));
  EXPECT_TRUE(matcher.is_over());
  EXPECT_FALSE(matcher.accept(end));
  EXPECT_TRUE(copy.accept(b));
}

TEST(Matcher, SpecialTokensAreNeverText) {
  for (const std::string& name : vocabulary_names()) {
    const auto tokenizer = open_vocabulary(name);
    const auto vocabulary = vocabulary_of(*tokenizer);
    const auto grammar = std::make_shared<Grammar>(parse_gbnf("root ::= .* "), vocabulary);
    Matcher matcher(grammar);
    for (int step = 0; step < 2; ++step) {
      const auto mask = matcher.allowed();
      for (int32_t id = 0; id < tokenizer->size(); ++id) {
        if (tokenizer->is_special(id) && !vocabulary->is_end(id)) {
          EXPECT_FALSE(has_bit(mask, id)) << name;
        }
      }
      EXPECT_TRUE(has_bit(mask, vocabulary->end_ids().front())) << name;
      ASSERT_TRUE(matcher.accept(*tokenizer->id_of("a")));
    }
  }
}

// Nesting makes ever new configurations; the memory is replaced many times, and answers go on.
TEST(Matcher, OutlivesItsMemory) {
  const auto tokenizer = open_vocabulary("gpt2");
  const auto vocabulary = vocabulary_of(*tokenizer);
  const auto grammar = std::make_shared<Grammar>(
      parse_gbnf("root ::= (\"a\" root \"b\" | \"c\" root \"d\")?"), vocabulary, 64 << 10);
  Generator generator(2);
  Matcher early(grammar);
  std::string text;
  for (int i = 0; i < 40; ++i) {
    const char c = generator.below(2) == 0 ? 'a' : 'c';
    ASSERT_TRUE(early.accept(*tokenizer->id_of(std::string(1, c))));
    text += c == 'a' ? 'b' : 'd';
  }
  for (int answer = 0; answer < 5; ++answer) {
    Matcher matcher(grammar);
    for (int i = 0; i < 1000; ++i) {
      matcher.allowed();
      const char* next = generator.below(2) == 0 ? "a" : "c";
      ASSERT_TRUE(matcher.accept(*tokenizer->id_of(next)));
    }
  }
  for (auto c = text.rbegin(); c != text.rend(); ++c) {
    EXPECT_FALSE(early.accept(*tokenizer->id_of(*c == 'b' ? "d" : "b")));
    ASSERT_TRUE(early.accept(*tokenizer->id_of(std::string(1, *c))));
  }
  EXPECT_TRUE(early.can_end());
}

TEST(OutputFormats, EachKindIsAGrammar) {
  const auto accepts = [](const OutputFormat& format, std::string_view text) {
    return Acceptor(syntax_of(format)).accepts(text);
  };
  using Kind = OutputFormat::Kind;
  EXPECT_TRUE(accepts({.kind = Kind::kJsonObject}, "{\"a\": [1, {}]}"));
  EXPECT_FALSE(accepts({.kind = Kind::kJsonObject}, "[1]"));
  EXPECT_TRUE(accepts({.kind = Kind::kJsonSchema, .text = "{\"type\": \"null\"}"}, "null"));
  EXPECT_TRUE(accepts({.kind = Kind::kRegex, .text = "a+"}, "aaa"));
  EXPECT_TRUE(accepts({.kind = Kind::kGbnf, .text = "root ::= \"x\""}, "x"));
  EXPECT_TRUE(accepts({.kind = Kind::kChoice, .choices = {"red", "blue"}}, "blue"));
  EXPECT_FALSE(accepts({.kind = Kind::kChoice, .choices = {"red", "blue"}}, "b"));
  EXPECT_THROW(syntax_of({.kind = Kind::kChoice}), Error);
}

TEST(Grammar, NeedsABeginningThatTheVocabularyHas) {
  const auto tokenizer = open_vocabulary("gpt2");
  const auto all = vocabulary_of(*tokenizer);
  // A vocabulary of one letter.
  const int32_t num_ids = *tokenizer->id_of("a") + 1;
  const auto few = std::make_shared<const Vocabulary>(*tokenizer, std::vector<int32_t>{}, num_ids);
  EXPECT_NO_THROW(Grammar(parse_gbnf("root ::= \"z\""), all));
  EXPECT_THROW(Grammar(parse_gbnf("root ::= \"z\""), few), Error);
  // The way that cannot be written to its end is not begun.
  Matcher matcher(std::make_shared<Grammar>(parse_gbnf("root ::= \"aaz\" | \"!!\""), few));
  EXPECT_FALSE(matcher.accept(*tokenizer->id_of("a")));
  EXPECT_TRUE(matcher.accept(*tokenizer->id_of("!")));
}

}  // namespace
}  // namespace llava::text::grammar
