// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/grammar_cache.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "llava/core/error.h"
#include "llava/text/grammar/vocabularies.h"

namespace llava::engine {
namespace {

using text::grammar::OutputFormat;

class GrammarCacheTest : public testing::Test {
 protected:
  std::unique_ptr<text::Tokenizer> tokenizer_ = text::grammar::open_vocabulary("gpt2");
  GrammarCache cache_{text::grammar::vocabulary_of(*tokenizer_), 2};
};

TEST_F(GrammarCacheTest, EqualFormatsShareAGrammar) {
  const OutputFormat choice{.kind = OutputFormat::Kind::kChoice, .choices = {"a", "b"}};
  const auto first = cache_.find_or_compile(choice);
  EXPECT_EQ(cache_.find_or_compile(choice), first);
  EXPECT_NE(cache_.find_or_compile({.kind = OutputFormat::Kind::kRegex, .text = "a"}), first);
  const OutputFormat other{.kind = OutputFormat::Kind::kChoice, .choices = {"a 1:b"}};
  EXPECT_NE(cache_.find_or_compile(other), first);
  // There is room for two: the first is forgotten.
  EXPECT_NE(cache_.find_or_compile(choice), first);
}

TEST_F(GrammarCacheTest, RefusalsAreNotKept) {
  const OutputFormat bad{.kind = OutputFormat::Kind::kRegex, .text = "("};
  EXPECT_THROW(cache_.find_or_compile(bad), Error);
  EXPECT_THROW(cache_.find_or_compile(bad), Error);
}

TEST_F(GrammarCacheTest, ServesManyThreads) {
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 60; ++i) {
        const OutputFormat format{.kind = OutputFormat::Kind::kRegex,
                                  .text = std::string(static_cast<std::size_t>(1 + i % 4), 'a')};
        EXPECT_NE(cache_.find_or_compile(format), nullptr);
      }
    });
  }
}

}  // namespace
}  // namespace llava::engine
