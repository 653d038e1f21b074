// SPDX-License-Identifier: Apache-2.0
#include "llava/text/added_vocabulary.h"

#include <algorithm>

#include "llava/text/utf8.h"

namespace llava::text {
namespace {

/// Begin of the last character before `at`, which is greater than 0.
std::size_t previous_char(std::string_view text, std::size_t at) {
  --at;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

bool ends_with_word(std::string_view text) {
  return !text.empty() &&
         is_unicode_word(decode_utf8(text, previous_char(text, text.size())).code_point);
}

bool starts_with_word(std::string_view text) {
  return !text.empty() && is_unicode_word(decode_utf8(text, 0).code_point);
}

std::size_t begin_of_trailing_space(std::string_view text) {
  std::size_t begin = text.size();
  while (begin > 0) {
    const std::size_t previous = previous_char(text, begin);
    if (!is_unicode_space(decode_utf8(text, previous).code_point)) break;
    begin = previous;
  }
  return begin;
}

std::size_t length_of_leading_space(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const Utf8Char c = decode_utf8(text, at);
    if (!is_unicode_space(c.code_point)) break;
    at += c.num_bytes;
  }
  return at;
}

}  // namespace

void AddedVocabulary::add(const AddedToken& token, int32_t id) {
  if (token.content.empty()) return;
  // Once special, always special: the library only ever adds to that set.
  if (token.special) special_.insert(token.content);
  if (const auto old = ids_.find(token.content); old != ids_.end() && old->second != id) {
    tokens_.erase(old->second);
  }
  if (const auto old = tokens_.find(id);
      old != tokens_.end() && old->second.content != token.content) {
    ids_.erase(old->second.content);
  }
  ids_[token.content] = id;
  tokens_[id] = token;
}

void AddedVocabulary::finish(const TextNormalizer& normalizer) {
  raw_ = {};
  normalized_ = {};
  for (const auto& [id, token] : tokens_) {
    Matcher& matcher = token.normalized ? normalized_ : raw_;
    const std::string content =
        token.normalized ? normalizer.normalize(token.content) : token.content;
    if (content.empty()) continue;
    matcher.trie.insert(content, id);
    matcher.may_begin[static_cast<uint8_t>(content[0])] = true;
  }
}

std::optional<int32_t> AddedVocabulary::id_of(std::string_view content) const {
  const auto found = ids_.find(content);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

const AddedToken* AddedVocabulary::find(int32_t id) const noexcept {
  const auto found = tokens_.find(id);
  return found != tokens_.end() ? &found->second : nullptr;
}

std::vector<AddedSplit> AddedVocabulary::split(std::string_view text,
                                               const Matcher& matcher) const {
  std::vector<AddedSplit> splits;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto match = matcher.may_begin[static_cast<uint8_t>(text[at])]
                           ? matcher.trie.longest_match(text, at)
                           : std::nullopt;
    if (!match) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    std::size_t end = at + match->length;
    at = end;
    const AddedToken& token = tokens_.at(match->value);
    if (token.single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    if (token.lstrip) begin = std::max(done, begin_of_trailing_space(text.substr(0, begin)));
    if (token.rstrip) end += length_of_leading_space(text.substr(end));
    if (done < begin) splits.push_back({std::nullopt, done, begin});
    splits.push_back({match->value, begin, end});
    done = end;
  }
  if (done < text.size()) splits.push_back({std::nullopt, done, text.size()});
  return splits;
}

}  // namespace llava::text
