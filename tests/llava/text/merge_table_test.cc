// SPDX-License-Identifier: Apache-2.0
#include "llava/text/merge_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

namespace llava::text {
namespace {

/// The definition: look for the best pair, merge it, start again.
std::vector<Symbol> merge_by_definition(const MergeTable& table, std::vector<Symbol> symbols) {
  while (true) {
    std::size_t best = symbols.size();
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const Merge* merge = table.find(symbols[i].id, symbols[i + 1].id);
      if (merge == nullptr) continue;
      if (best == symbols.size() ||
          merge->rank < table.find(symbols[best].id, symbols[best + 1].id)->rank) {
        best = i;
      }
    }
    if (best == symbols.size()) return symbols;
    const Merge* merge = table.find(symbols[best].id, symbols[best + 1].id);
    symbols[best] = {merge->result, symbols[best].num_bytes + symbols[best + 1].num_bytes};
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

std::vector<std::pair<int32_t, uint32_t>> as_pairs(const std::vector<Symbol>& symbols) {
  std::vector<std::pair<int32_t, uint32_t>> pairs;
  for (const Symbol& symbol : symbols) pairs.emplace_back(symbol.id, symbol.num_bytes);
  return pairs;
}

/// Words over a few letters as a vocabulary: every split of a word into two known words is a merge.
struct RandomVocabulary {
  MergeTable table;
  int32_t num_letters;

  RandomVocabulary(std::mt19937& random, bool with_joints, bool with_equal_ranks) {
    num_letters = std::uniform_int_distribution<int32_t>(2, 4)(random);
    std::vector<std::vector<int32_t>> words;
    for (int32_t letter = 0; letter < num_letters; ++letter) words.push_back({letter});
    for (int32_t i = 0; i < 30; ++i) {
      const auto pick = [&] {
        return words[std::uniform_int_distribution<std::size_t>(0, words.size() - 1)(random)];
      };
      std::vector<int32_t> word = pick();
      const std::vector<int32_t> tail = pick();
      word.insert(word.end(), tail.begin(), tail.end());
      if (word.size() > 8 || std::find(words.begin(), words.end(), word) != words.end()) continue;
      words.push_back(word);
      for (std::size_t cut = 1; cut < word.size(); ++cut) {
        const auto at = word.begin() + static_cast<std::ptrdiff_t>(cut);
        const auto left = std::find(words.begin(), words.end(), std::vector(word.begin(), at));
        const auto right = std::find(words.begin(), words.end(), std::vector(at, word.end()));
        if (left == words.end() || right == words.end()) continue;
        const auto rank = static_cast<int32_t>(with_equal_ranks ? words.size() / 4 : words.size());
        table.add(static_cast<int32_t>(left - words.begin()),
                  static_cast<int32_t>(right - words.begin()),
                  {rank, static_cast<int32_t>(words.size()) - 1});
      }
      for (std::size_t k = 0; with_joints && k + 1 < word.size(); ++k) {
        table.add_joint(word[k], word[k + 1]);
      }
    }
  }
};

TEST(MergeTable, AgreesWithTheDefinition) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const RandomVocabulary vocabulary(random, seed % 2 == 0, seed % 3 == 0);
    for (const std::size_t size : {0, 1, 2, 7, 48, 49, 200}) {
      std::vector<Symbol> symbols;
      for (std::size_t i = 0; i < size; ++i) {
        // Now and then a symbol that never merges.
        const int32_t letter =
            std::uniform_int_distribution<int32_t>(-1, vocabulary.num_letters - 1)(random);
        symbols.push_back({letter, 1 + static_cast<uint32_t>(i % 3)});
      }
      const auto expected = as_pairs(merge_by_definition(vocabulary.table, symbols));
      vocabulary.table.apply(symbols);
      EXPECT_EQ(as_pairs(symbols), expected) << "seed " << seed << ", size " << size;
    }
  }
}

TEST(MergeTable, LogsTheLastProposal) {
  MergeTable table;
  table.add(0, 1, {5, 3});  // ab
  table.add(1, 2, {1, 4});  // bc
  table.add(0, 4, {2, 5});  // a + bc
  table.add(3, 2, {2, 5});  // ab + c
  const std::vector<bool> wanted = {false, false, false, false, false, true};
  SplitLog log{.wanted = &wanted};
  std::vector<Symbol> symbols = {{0, 1}, {1, 1}, {2, 1}};
  table.apply(symbols, log);
  EXPECT_EQ(as_pairs(symbols), (std::vector<std::pair<int32_t, uint32_t>>{{5, 3}}));
  ASSERT_TRUE(log.splits.contains(5));
  EXPECT_EQ(log.splits[5], std::make_pair(0, 4));
}

TEST(PairMap, KeepsWhatWasInserted) {
  PairMap<int32_t> map;
  EXPECT_EQ(map.find(1, 2), nullptr);
  for (uint32_t i = 0; i < 5000; ++i) {
    map.insert_or_assign(i % 71, i, static_cast<int32_t>(i));
  }
  map.insert_or_assign(0, 0, -5);
  EXPECT_EQ(map.size(), 5000u);
  EXPECT_EQ(*map.find(0, 0), -5);
  for (uint32_t i = 1; i < 5000; ++i) EXPECT_EQ(*map.find(i % 71, i), static_cast<int32_t>(i));
  EXPECT_EQ(map.find(72, 1), nullptr);
  EXPECT_EQ(map.find(~uint32_t{0}, ~uint32_t{0}), nullptr);
}

}  // namespace
}  // namespace llava::text
