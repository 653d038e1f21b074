// SPDX-License-Identifier: Apache-2.0
//
// The answers of `llava batch`: every question becomes a request of the session's engine, which
// works on many together.
#pragma once

#include <stop_token>
#include <string>

#include "llava/engine/batch/answer_service.h"
#include "session.h"

namespace llava::app {

/// How the questions of a batch are asked.
struct BatchAnswerOptions {
  engine::AnswerOptions answer;
  PictureOptions pictures;
  std::string conv_mode;
};

/// Threads: one thread at a time.
class BatchAnswers : public engine::AnswerService {
 public:
  /// `session` outlives this; a stop ends what runs. Question i is sampled with seed + i.
  BatchAnswers(Session& session, BatchAnswerOptions options, std::stop_token stop);

  std::future<engine::BatchAnswer> submit(engine::BatchQuestion question) override;

 private:
  std::future<engine::BatchAnswer> ask(const engine::BatchQuestion& question);

  Session& session_;
  BatchAnswerOptions options_;
  std::string conv_mode_;
  std::stop_token stop_;
  std::shared_ptr<text::grammar::Grammar> grammar_;
  std::unique_ptr<engine::Engine> engine_;
};

}  // namespace llava::app
