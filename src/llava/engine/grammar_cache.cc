// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/grammar_cache.h"

#include <utility>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

using text::grammar::Grammar;
using text::grammar::OutputFormat;

// Different formats have different keys: every text is preceded by its length.
std::string key_of(const OutputFormat& format) {
  std::string key = fmt::format("{} {} {}:{}", static_cast<int>(format.kind), format.is_strict,
                                format.text.size(), format.text);
  for (const std::string& choice : format.choices) {
    key += fmt::format(" {}:{}", choice.size(), choice);
  }
  return key;
}

}  // namespace

GrammarCache::GrammarCache(std::shared_ptr<const text::grammar::Vocabulary> vocabulary,
                           std::size_t capacity, std::size_t max_memory_bytes)
    : vocabulary_(std::move(vocabulary)),
      max_memory_bytes_(max_memory_bytes),
      grammars_(Grammars(capacity)) {}

std::shared_ptr<Grammar> GrammarCache::find_or_compile(const OutputFormat& format) {
  const std::string key = key_of(format);
  const auto find = [&](Grammars& grammars) {
    const auto* found = grammars.find(key);
    return found != nullptr ? *found : nullptr;
  };
  if (auto known = grammars_.with(find)) return known;
  // Not under the lock: others need not wait for this one.
  auto made = std::make_shared<Grammar>(syntax_of(format), vocabulary_, max_memory_bytes_);
  return grammars_.with([&](Grammars& grammars) {
    if (auto known = find(grammars)) return known;
    grammars.put(key, made);
    return made;
  });
}

}  // namespace llava::engine
