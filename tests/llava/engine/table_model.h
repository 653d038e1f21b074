// SPDX-License-Identifier: Apache-2.0
//
// A fake model: the logits that follow a sequence are a function of its ids.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "llava/engine/token_model.h"

namespace llava::engine {

/// Sequence 0 is the prompt, with no ids. Counts what is alive, so that leaks are seen.
class TableModel final : public TokenModel {
 public:
  using Rule = std::function<std::vector<float>(const std::vector<int32_t>& ids)>;

  explicit TableModel(Rule rule) : rule_(std::move(rule)) { sequences_[0] = {}; }

  std::vector<float> first_logits() const { return rule_({}); }

  std::vector<std::vector<float>> step(std::span<const SequenceToken> tokens) override {
    ++num_steps_;
    std::vector<std::vector<float>> rows;
    for (const SequenceToken& entry : tokens) {
      std::vector<int32_t>& ids = sequences_.at(entry.sequence);
      ids.push_back(entry.token);
      rows.push_back(rule_(ids));
    }
    return rows;
  }

  int32_t fork(int32_t sequence) override {
    const std::vector<int32_t> copy = sequences_.at(sequence);
    sequences_[next_] = copy;
    return next_++;
  }

  void release(int32_t sequence) override { sequences_.erase(sequence); }

  std::size_t num_alive() const { return sequences_.size(); }
  int num_steps() const { return num_steps_; }

 private:
  Rule rule_;
  std::map<int32_t, std::vector<int32_t>> sequences_;
  int32_t next_ = 1;
  int num_steps_ = 0;
};

}  // namespace llava::engine
