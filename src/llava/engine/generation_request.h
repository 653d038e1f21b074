// SPDX-License-Identifier: Apache-2.0
//
// What is asked of the engine: a prompt with its pictures, and how to answer it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llava/engine/generation.h"
#include "llava/engine/prepared_image.h"
#include "llava/model/attention_maps.h"
#include "llava/text/grammar/matcher.h"
#include "llava/text/multimodal_sequence.h"

namespace llava::engine {

/// Asks where a given answer to the prompt looked: for each of its tokens the attention that the
/// position which chose it (the one before it) pays to every token of the prompt's pictures, as
/// model::AttentionMaps has it.
struct LookRequest {
  std::vector<int32_t> answer;
  int32_t layer = model::kAllLayers;
};

/// Everything a request needs; checked by Engine::submit.
struct GenerationRequest {
  /// For the log.
  std::string id;
  /// Whose turn it takes: clients are served fairly.
  std::string client;
  int32_t priority = 0;
  /// Requests share cached prefixes only with the same salt.
  std::string cache_salt;
  /// When not empty: the prompt's beginning, up to the end of its last picture or all of it when it
  /// has none, cut to whole pages of the KV cache, stays cached under this name until it is
  /// unpinned or the name is given to another; on disk too where the engine has a cache there.
  std::string pin;
  /// Where it cannot be pinned, answer without.
  bool pin_is_optional = false;
  /// Ids with placeholders, and where the pictures are in them.
  text::MultimodalSequence prompt;
  std::vector<PreparedImage> images;
  GenerationParams params;
  /// Answers drawn from the same prompt; choice 0 is what a single answer would be.
  int32_t num_choices = 1;
  std::vector<std::string> stop;
  bool includes_stop_string = false;
  bool skips_special_tokens = true;
  /// What the answer must look like; null: anything. Not for beam search.
  std::shared_ptr<text::grammar::Grammar> grammar;
  /// When not empty, nothing is generated: these answers are scored, one choice each, token by
  /// token.
  std::vector<std::vector<int32_t>> scored_answers;
  /// When set, nothing is generated: the answer is one delta after the other of the given tokens
  /// with their attention.
  std::optional<LookRequest> look;

  /// Tokens of all pictures of the prompt.
  int64_t num_picture_tokens() const {
    int64_t count = 0;
    for (const text::ImageSpan& span : prompt.images) count += span.num_tokens;
    return count;
  }
};

}  // namespace llava::engine
