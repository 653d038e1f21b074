// SPDX-License-Identifier: Apache-2.0
//
// An answer made by choosing at random among the tokens that a grammar allows.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <memory>
#include <string>
#include <vector>

#include "llava/core/random.h"
#include "llava/text/grammar/matcher.h"

namespace llava::text::grammar {

/// Characters that end something, or make a short value.
inline constexpr std::string_view kWaysOut = "}]\":,01.)@ax";

/// Ids of the answer without the end token. Wanders for `num_steps` tokens, then takes the shortest
/// way out that single characters show. Fails the test on a dead end.
inline std::vector<int32_t> random_walk(const std::shared_ptr<Grammar>& grammar,
                                        Generator& generator, int num_steps) {
  const Vocabulary& vocabulary = grammar->vocabulary();
  Matcher matcher(grammar);
  std::vector<int32_t> ids;
  for (int step = 0; step < 4000; ++step) {
    const std::span<const uint64_t> allowed = matcher.allowed();
    std::vector<int32_t> choices;
    std::vector<int32_t> ends;
    for (std::size_t word = 0; word < allowed.size(); ++word) {
      for (uint64_t bits = allowed[word]; bits != 0; bits &= bits - 1) {
        const auto id = static_cast<int32_t>(word * 64) + std::countr_zero(bits);
        (vocabulary.is_end(id) ? ends : choices).push_back(id);
      }
    }
    EXPECT_EQ(!ends.empty(), matcher.can_end());
    if (choices.empty() && ends.empty()) {
      ADD_FAILURE() << "a dead end";
      return ids;
    }
    const bool is_leaving = step >= num_steps;
    if (!ends.empty() && (is_leaving || choices.empty() || generator.below(6) == 0)) {
      EXPECT_TRUE(matcher.accept(ends.front()));
      EXPECT_TRUE(matcher.is_over());
      return ids;
    }
    int32_t id = choices[generator.below(choices.size())];
    // Long texts and deep nesting are left as soon as possible, and now and then before.
    if (is_leaving || generator.below(3) == 0) {
      std::vector<int32_t> ways;
      for (const int32_t choice : choices) {
        const std::string_view bytes = vocabulary.bytes(choice, step == 0);
        const bool is_way = bytes.size() == 1 && kWaysOut.find(bytes) != std::string_view::npos;
        if (is_way) ways.push_back(choice);
      }
      if (!ways.empty()) id = ways[generator.below(ways.size())];
    }
    EXPECT_TRUE(matcher.accept(id));
    ids.push_back(id);
  }
  ADD_FAILURE() << "no end in sight";
  return ids;
}

}  // namespace llava::text::grammar
