// SPDX-License-Identifier: Apache-2.0
//
// Compiled grammars by what they were made of, so that requests with one schema share one grammar
// and its masks.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "llava/core/guarded.h"
#include "llava/engine/lru_map.h"
#include "llava/text/grammar/matcher.h"
#include "llava/text/grammar/output_format.h"

namespace llava::engine {

/// The most recently used grammars of one vocabulary.
///
/// Threads: find_or_compile from any; the grammars then belong to the engine's thread.
class GrammarCache {
 public:
  /// Each grammar keeps at most `max_memory_bytes` of what it has computed.
  explicit GrammarCache(std::shared_ptr<const text::grammar::Vocabulary> vocabulary,
                        std::size_t capacity = 256,
                        std::size_t max_memory_bytes = std::size_t{4} << 20);

  /// The grammar of a format; compiled on this thread if it is new.
  ///
  /// Throws: Error(kInvalidArgument), see text::grammar::syntax_of and Grammar.
  std::shared_ptr<text::grammar::Grammar> find_or_compile(
      const text::grammar::OutputFormat& format);

 private:
  using Grammars = LruMap<std::string, std::shared_ptr<text::grammar::Grammar>>;

  std::shared_ptr<const text::grammar::Vocabulary> vocabulary_;
  std::size_t max_memory_bytes_;
  Guarded<Grammars> grammars_;
};

}  // namespace llava::engine
