// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/generation_task.h"

namespace llava::engine {

SequenceId GenerationTask::fork(SequenceId parent) {
  const SequenceId child = context_.scheduler.fork(parent);
  sequences_.push_back(child);
  return child;
}

void GenerationTask::finish(SequenceId sequence) {
  context_.scheduler.finish(sequence);
  std::erase(sequences_, sequence);
}

std::unique_ptr<GenerationTask> make_task(const TaskContext& context, SequenceId root) {
  if (context.request.look) return make_look_task(context, root);
  if (!context.request.scored_answers.empty()) return make_scoring_task(context, root);
  if (context.request.params.num_beams > 1) return make_beam_task(context, root);
  return make_choices_task(context, root);
}

}  // namespace llava::engine
