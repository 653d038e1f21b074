// SPDX-License-Identifier: Apache-2.0
//
// The scheduler alone, with a clock that the test moves: who waits how long (serving 7.9, E11 and
// E12), and that random lives of sequences lose no page and no logits.
#include "llava/engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fake_runner.h"
#include "llava/core/random.h"

namespace llava::engine {
namespace {

std::vector<Symbol> text_of(int32_t num_tokens, int32_t first_id) {
  std::vector<Symbol> symbols;
  for (int32_t i = 0; i < num_tokens; ++i) symbols.push_back({.image = 0, .value = first_id + i});
  return symbols;
}

// Steps of a fixed length that take no time: what is planned is carried out.
class Simulation {
 public:
  struct Request {
    std::string client;
    int64_t arrival_ms = 0;
    int32_t first_id = 0;
    int32_t prompt_tokens = 0;
    int32_t answer_tokens = 0;
  };
  struct Outcome {
    Request request;
    int32_t num_left = 0;
    int64_t start_ms = -1;
    bool is_finished = false;
  };

  Simulation(const SchedulerConfig& config, int64_t step_ms)
      : scheduler_(config, /*num_pages=*/1 << 14, 1 << 20, 1), step_ms_(step_ms) {}

  void submit(const Request& request) {
    const SequenceId id =
        scheduler_.add({.owner = 0,
                        .client = request.client,
                        .priority = 0,
                        .cache_scope = {},
                        .prompt = text_of(request.prompt_tokens, request.first_id),
                        .max_new_tokens = request.answer_tokens,
                        .arrival_ms = request.arrival_ms});
    outcomes_[id] = {.request = request, .num_left = request.answer_tokens};
  }

  void step() {
    const StepPlan plan = scheduler_.plan(now_ms_);
    for (const StepItem& item : plan.items) {
      Outcome& outcome = outcomes_.at(item.sequence);
      if (outcome.start_ms < 0) outcome.start_ms = now_ms_;
      const auto num_new = static_cast<int32_t>(item.symbols.size());
      const bool is_answer = item.num_past >= outcome.request.prompt_tokens;
      service_[outcome.request.client] += is_answer ? 2 * num_new : num_new;
    }
    now_ms_ += step_ms_;
    scheduler_.complete(plan);
    for (const StepItem& item : plan.items) {
      if (item.num_logits() == 0) continue;
      Outcome& outcome = outcomes_.at(item.sequence);
      if (--outcome.num_left > 0) {
        const int32_t id = 7;
        scheduler_.append(item.sequence, {&id, 1});
      } else {
        scheduler_.finish(item.sequence);
        outcome.is_finished = true;
      }
    }
  }

  int64_t now_ms() const { return now_ms_; }
  double service(const std::string& client) const { return service_.at(client); }
  bool is_idle() const { return scheduler_.num_running() + scheduler_.num_waiting() == 0; }
  bool has_waiting(const std::string& client) const {
    return std::ranges::any_of(outcomes_, [&](const auto& entry) {
      return entry.second.request.client == client && entry.second.start_ms < 0;
    });
  }
  /// Waits of a client's requests before their first position was computed, shortest first.
  std::vector<int64_t> waits(const std::string& client) const {
    std::vector<int64_t> waits;
    for (const auto& [id, outcome] : outcomes_) {
      if (outcome.request.client != client) continue;
      EXPECT_GE(outcome.start_ms, 0);
      waits.push_back(outcome.start_ms - outcome.request.arrival_ms);
    }
    std::ranges::sort(waits);
    return waits;
  }

 private:
  Scheduler scheduler_;
  int64_t step_ms_;
  int64_t now_ms_ = 0;
  std::map<SequenceId, Outcome> outcomes_;
  std::map<std::string, double> service_{{"A", 0}, {"B", 0}};
};

int64_t p95(const std::vector<int64_t>& sorted) { return sorted.at(sorted.size() * 95 / 100); }

// B asks once a second for `seconds`, beside what A has asked for before.
std::vector<int64_t> waits_of_b(Simulation& simulation, int32_t seconds) {
  int32_t num_sent = 0;
  while (num_sent < seconds || !simulation.is_idle()) {
    // Between two steps, so that even an idle engine makes it wait.
    const int64_t next_arrival_ms = num_sent * 1000 + 10;
    if (num_sent < seconds && next_arrival_ms <= simulation.now_ms()) {
      simulation.submit({.client = "B",
                         .arrival_ms = next_arrival_ms,
                         .first_id = 100000 + 1000 * num_sent,
                         .prompt_tokens = 300,
                         .answer_tokens = 8});
      ++num_sent;
    }
    simulation.step();
  }
  return simulation.waits("B");
}

// E11: the flood lasts longer than max-wait-boost-ms, after which all of it is late.
// Requests that come together, and what the steps compute of them.
class CommonPrefixes : public testing::Test {
 protected:
  static constexpr int32_t kPageSize = 8;

  SequenceId add(std::vector<Symbol> prompt, const std::string& scope = {}) {
    return scheduler_.add({.owner = 0,
                           .client = "A",
                           .priority = 0,
                           .cache_scope = scope,
                           .prompt = std::move(prompt),
                           .max_new_tokens = 4,
                           .arrival_ms = 0});
  }
  // `num_common` tokens that all have, and others of its own.
  SequenceId add_question(int32_t num_common, int32_t own_id, const std::string& scope = {}) {
    std::vector<Symbol> prompt = text_of(num_common, 1);
    for (const Symbol& symbol : text_of(8, own_id)) prompt.push_back(symbol);
    return add(std::move(prompt), scope);
  }
  // Positions that a step computes, by sequence.
  std::map<SequenceId, int32_t> step() {
    std::map<SequenceId, int32_t> computed;
    const StepPlan plan = scheduler_.plan(0);
    for (const StepItem& item : plan.items) {
      computed[item.sequence] = static_cast<int32_t>(item.symbols.size());
    }
    scheduler_.complete(plan);
    return computed;
  }

  Scheduler scheduler_{{.chunked_prefill_size = 64, .page_size = kPageSize}, 1 << 10, 1 << 20, 1};
};

using Computed = std::map<SequenceId, int32_t>;

TEST_F(CommonPrefixes, AreComputedOnce) {
  const SequenceId first = add_question(32, 100);
  const SequenceId second = add_question(32, 200);
  const SequenceId third = add_question(32, 300);
  EXPECT_EQ(step(), (Computed{{first, 40}}));
  EXPECT_EQ(step(), (Computed{{second, 8}, {third, 8}}));
  EXPECT_EQ(scheduler_.num_cached_tokens(third), 32);
}

TEST_F(CommonPrefixes, OthersNeedNotWait) {
  const SequenceId first = add_question(32, 100);
  const SequenceId second = add_question(32, 200);
  const SequenceId of_another_scope = add_question(32, 300, "other");
  const SequenceId with_a_short_prefix = add_question(8, 400);
  // Half of a chunk each; the second one and the last one are cut where the chunk ends.
  EXPECT_EQ(step(), (Computed{{first, 40}, {of_another_scope, 24}}));
  EXPECT_EQ(step(), (Computed{{second, 8}, {of_another_scope, 16}, {with_a_short_prefix, 8}}));
}

TEST_F(CommonPrefixes, AreThereBeforeALongPromptIsComputed) {
  std::vector<Symbol> longer = text_of(64, 1);
  for (const Symbol& symbol : text_of(640, 1000)) longer.push_back(symbol);
  const SequenceId first = add(std::move(longer));
  const SequenceId second = add_question(64, 200);
  EXPECT_EQ(step(), (Computed{{first, 64}}));
  // The first one goes before, with a whole chunk a step: the second one waits for room, no longer
  // for the prefix.
  int32_t num_steps = 1;
  Computed computed;
  while (!computed.contains(second)) {
    computed = step();
    ++num_steps;
    ASSERT_LT(num_steps, 20);
  }
  EXPECT_EQ(computed.at(second), 8);
}

TEST_F(CommonPrefixes, ThoseOfOneThatEndsAreComputedByTheNext) {
  const SequenceId first = add_question(128, 100);
  const SequenceId second = add_question(128, 200);
  EXPECT_EQ(step(), (Computed{{first, 64}}));
  scheduler_.finish(first);
  EXPECT_EQ(step(), (Computed{{second, 64}}));
  EXPECT_EQ(scheduler_.num_cached_tokens(second), 64);
  EXPECT_EQ(step(), (Computed{{second, 8}}));
}

TEST(SchedulerFairness, AFloodOfOneClientDoesNotDelayAnother) {
  constexpr int64_t kStepMs = 250;
  constexpr int32_t kSeconds = 24;
  Simulation alone({}, kStepMs);
  const std::vector<int64_t> idle = waits_of_b(alone, kSeconds);
  Simulation crowded({}, kStepMs);
  for (int32_t i = 0; i < 200; ++i) {
    crowded.submit({.client = "A",
                    .arrival_ms = 0,
                    .first_id = 1000 * i,
                    .prompt_tokens = 500,
                    .answer_tokens = 4 + i % 9});
  }
  const std::vector<int64_t> waits = waits_of_b(crowded, kSeconds);
  EXPECT_GT(crowded.waits("A").back(), 20000) << "the flood was too small to be one";
  EXPECT_LE(p95(waits), 3 * p95(idle));
}

// E11: what two clients with work have received differs by what can run at once, at most.
TEST(SchedulerFairness, ServiceOfBusyClientsStaysTogether) {
  SchedulerConfig config;
  config.max_running_requests = 8;
  Simulation simulation(config, 20);
  Generator random(3);
  constexpr int32_t kMaxPrompt = 600;
  constexpr int32_t kMaxAnswer = 64;
  // A's requests are few and long, B's many and short.
  for (int32_t i = 0; i < 60; ++i) {
    simulation.submit({.client = "A",
                       .arrival_ms = 0,
                       .first_id = 1000 * i,
                       .prompt_tokens = kMaxPrompt,
                       .answer_tokens = 1 + static_cast<int32_t>(random.below(kMaxAnswer))});
  }
  for (int32_t i = 0; i < 500; ++i) {
    simulation.submit({.client = "B",
                       .arrival_ms = 0,
                       .first_id = 500000 + 1000 * i,
                       .prompt_tokens = 60,
                       .answer_tokens = 1 + static_cast<int32_t>(random.below(kMaxAnswer))});
  }
  const double most = config.max_running_requests * (kMaxPrompt + 2.0 * kMaxAnswer);
  double largest = 0;
  while (simulation.has_waiting("A") && simulation.has_waiting("B")) {
    simulation.step();
    largest = std::max(largest, std::abs(simulation.service("A") - simulation.service("B")));
  }
  EXPECT_LE(largest, most);
  EXPECT_GT(simulation.service("A"), 5 * most) << "too little was done to say anything";
}

// When the cold request of E12 starts after its arrival; -1: not within 20 seconds.
int64_t cold_wait(int32_t max_wait_boost_ms) {
  SchedulerConfig config;
  config.schedule_policy = "lpm";
  config.max_wait_boost_ms = max_wait_boost_ms;
  config.max_running_requests = 4;
  constexpr int64_t kStepMs = 100;
  Simulation simulation(config, kStepMs);
  const auto submit_hot = [&] {
    simulation.submit({.client = "hot",
                       .arrival_ms = simulation.now_ms(),
                       .first_id = 0,
                       .prompt_tokens = 160,
                       .answer_tokens = 1});
  };
  submit_hot();
  simulation.step();
  const int64_t arrival_ms = simulation.now_ms();
  while (simulation.now_ms() < arrival_ms + 20000) {
    // More than a step can take, so that a hot one always waits.
    for (int i = 0; i < 5; ++i) submit_hot();
    if (simulation.now_ms() == arrival_ms) {
      simulation.submit({.client = "cold",
                         .arrival_ms = arrival_ms,
                         .first_id = 700000,
                         .prompt_tokens = 160,
                         .answer_tokens = 1});
    }
    simulation.step();
    if (!simulation.has_waiting("cold")) return simulation.waits("cold").front();
  }
  return -1;
}

// E12
TEST(SchedulerFairness, AColdRequestStartsWhenItHasWaitedLongEnough) {
  constexpr int64_t kStepMs = 100;
  for (const int32_t boost_ms : {0, 450, 10000}) {
    const int64_t wait = cold_wait(boost_ms);
    EXPECT_GE(wait, 0);
    EXPECT_LE(wait, boost_ms + kStepMs);
  }
  EXPECT_EQ(cold_wait(1 << 30), -1) << "the hot prefix would let it start anyway";
}

// One sequence of the property test: what was appended and which logits came.
struct Life {
  std::vector<Symbol> symbols;
  int32_t prompt_tokens = 0;
  int32_t num_left = 0;
  int32_t num_drafts = 0;
  int32_t next_row = 0;  ///< position whose logits come next
};

// Sequences with drafts, forks and early ends in a cache for two or three of them: every wanted row
// of logits comes, once, and is that of the sequence's own symbols; no page is lost.
TEST(SchedulerProperty, DraftsForksAndPreemptionLoseNothing) {
  constexpr int32_t kPageSize = 8;
  constexpr int32_t kNumPages = 12;
  constexpr int32_t kVocabulary = 16;
  int64_t num_preemptions = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Generator random(seed);
    SchedulerConfig config;
    config.page_size = kPageSize;
    config.chunked_prefill_size = 1 + static_cast<int32_t>(random.below(12));
    config.max_running_requests = 6;
    Scheduler scheduler(config, kNumPages, 1, 1);
    FakeRunner runner(kNumPages, kPageSize, kVocabulary);
    std::map<SequenceId, Life> lives;
    StepLogits logits;
    int num_added = 0;
    // Answers depend on the position alone, so that sequences share what they generate.
    const auto token_at = [](std::size_t position) { return static_cast<int32_t>(position % 5); };
    const auto go_on = [&](SequenceId id, Life& life) {
      std::vector<int32_t> next{token_at(life.symbols.size())};
      life.num_drafts = static_cast<int32_t>(random.below(6));
      for (int32_t i = 0; i < life.num_drafts; ++i) {
        const int32_t right = token_at(life.symbols.size() + next.size());
        next.push_back(random.below(4) == 0 ? right + 1 : right);
      }
      scheduler.append(id, next);
      for (const int32_t token : next) life.symbols.push_back({.image = 0, .value = token});
    };
    for (int step = 0; step < 5000 && (num_added < 30 || !lives.empty()); ++step) {
      if (num_added < 30 && random.below(3) == 0) {
        ++num_added;
        Life life;
        life.prompt_tokens = 1 + static_cast<int32_t>(random.below(24));
        life.symbols = text_of(life.prompt_tokens, 100 * static_cast<int32_t>(random.below(2)));
        life.num_left = 1 + static_cast<int32_t>(random.below(30));
        life.next_row = life.prompt_tokens - 1;
        const SequenceId id = scheduler.add({.owner = 0,
                                             .client = "client",
                                             .priority = static_cast<int32_t>(random.below(2)),
                                             .cache_scope = {},
                                             .prompt = life.symbols,
                                             .max_new_tokens = life.num_left,
                                             .arrival_ms = step});
        lives.emplace(id, std::move(life));
      }
      const StepPlan plan = scheduler.plan(step);
      for (const SequenceId id : scheduler.take_exhausted()) {
        scheduler.finish(id);
        lives.erase(id);
      }
      runner.run(plan, logits);
      scheduler.complete(plan);
      int64_t row = 0;
      for (const StepItem& item : plan.items) {
        if (item.num_logits() == 0) continue;
        Life& life = lives.at(item.sequence);
        ASSERT_EQ(item.num_past + item.first_logits, life.next_row);
        std::vector<float> expected(kVocabulary);
        uint64_t hash = 1;
        const int32_t end = life.next_row + item.num_logits();
        for (int32_t i = 0; i < end; ++i) {
          hash = extend_hash(hash, life.symbols[static_cast<std::size_t>(i)]);
          if (i < life.next_row) continue;
          hash_logits(hash, expected);
          ASSERT_TRUE(std::ranges::equal(expected, logits.row(row++)));
        }
        life.next_row = end;
        // A step may end before the last draft.
        if (end < static_cast<int32_t>(life.symbols.size())) continue;
        const auto num_kept =
            static_cast<int32_t>(life.symbols.size()) -
            static_cast<int32_t>(random.below(static_cast<uint64_t>(life.num_drafts) + 1));
        scheduler.truncate(item.sequence, num_kept);
        life.symbols.resize(static_cast<std::size_t>(num_kept));
        life.num_drafts = 0;
        life.next_row = num_kept;
        if (--life.num_left == 0 || random.below(40) == 0) {
          scheduler.finish(item.sequence);
          lives.erase(item.sequence);
          continue;
        }
        if (random.below(12) == 0) {
          const SequenceId child = scheduler.fork(item.sequence);
          go_on(child, lives.emplace(child, life).first->second);
        }
        go_on(item.sequence, life);
      }
    }
    EXPECT_TRUE(lives.empty()) << lives.size() << " sequences never ended";
    EXPECT_EQ(scheduler.num_running(), 0);
    EXPECT_EQ(scheduler.blocks().num_used(), scheduler.tree().num_evictable());
    scheduler.free_caches();
    EXPECT_EQ(scheduler.blocks().num_used(), 0);
    num_preemptions += scheduler.stats().preemptions;
  }
  EXPECT_GT(num_preemptions, 100);
}

}  // namespace
}  // namespace llava::engine
