// SPDX-License-Identifier: Apache-2.0
#include "llava/text/sentencepiece_normalizer.h"

#include "llava/core/error.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

uint32_t read_u32(std::string_view bytes, std::size_t at) {
  uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) {
    value |= uint32_t{static_cast<uint8_t>(bytes[at + i])} << (8 * i);
  }
  return value;
}

// Bit fields of a unit of the double array (darts-clone, Susumu Yata).
bool has_leaf(uint32_t unit) { return ((unit >> 8) & 1) != 0; }
uint32_t value_of(uint32_t unit) { return unit & 0x7FFFFFFFu; }
uint32_t label_of(uint32_t unit) { return unit & (0x80000000u | 0xFFu); }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

}  // namespace

CharsMap::CharsMap(std::string_view blob, std::string_view source) {
  const uint32_t trie_bytes = blob.size() > 4 ? read_u32(blob, 0) : 0;
  if (blob.size() <= 4 || trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes >= blob.size() - 4) {
    fail(ErrorCode::kBadFormat,
         "{}: the precompiled character map of {} bytes announces a trie of {} bytes", source,
         blob.size(), trie_bytes);
  }
  units_.reserve(trie_bytes / 4);
  for (std::size_t at = 4; at < 4 + std::size_t{trie_bytes}; at += 4) {
    units_.push_back(read_u32(blob, at));
  }
  replacements_ = blob.substr(4 + std::size_t{trie_bytes});
}

CharsMap::Rule CharsMap::longest_rule(std::string_view text) const noexcept {
  Rule rule;
  if (units_.empty()) return rule;
  std::size_t node = offset_of(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    node ^= byte;
    if (node >= units_.size() || label_of(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (node >= units_.size()) break;
    const std::size_t begin = value_of(units_[node]);
    if (begin >= replacements_.size()) break;
    const std::size_t end = replacements_.find('\0', begin);
    rule = {i + 1, std::string_view(replacements_).substr(begin, end - begin)};
  }
  return rule;
}

SentencePieceNormalizer::SentencePieceNormalizer(const NormalizerSpec& spec,
                                                 bool treat_whitespace_as_suffix,
                                                 const ByteTrie& kept, std::string_view source)
    : chars_map_(spec.precompiled_charsmap.empty() ? CharsMap()
                                                   : CharsMap(spec.precompiled_charsmap, source)),
      add_dummy_prefix_(spec.add_dummy_prefix),
      remove_extra_whitespaces_(spec.remove_extra_whitespaces),
      space_(spec.escape_whitespaces ? kSpaceSymbol : std::string_view(" ")),
      treat_whitespace_as_suffix_(treat_whitespace_as_suffix),
      kept_(&kept) {}

std::pair<std::string_view, std::size_t> SentencePieceNormalizer::next(
    std::string_view text) const noexcept {
  if (const auto kept = kept_->longest_match(text, 0)) {
    return {text.substr(0, kept->length), kept->length};
  }
  const CharsMap::Rule rule = chars_map_.longest_rule(text);
  if (rule.length > 0) return {rule.replacement, rule.length};
  const Utf8Char c = decode_utf8(text, 0);
  if (!c.is_valid) return {kReplacementCharacter, 1};
  return {text.substr(0, c.num_bytes), c.num_bytes};
}

std::string SentencePieceNormalizer::normalize(std::string_view text) const {
  if (remove_extra_whitespaces_) {
    while (!text.empty()) {
      const auto [piece, length] = next(text);
      if (piece != " ") break;
      text.remove_prefix(length);
    }
  }
  std::string result;
  if (text.empty()) return result;
  result.reserve(text.size() + text.size() / 2);
  if (!treat_whitespace_as_suffix_ && add_dummy_prefix_) result += space_;
  bool follows_space = remove_extra_whitespaces_;
  while (!text.empty()) {
    auto [piece, length] = next(text);
    text.remove_prefix(length);
    while (follows_space && piece.starts_with(' ')) piece.remove_prefix(1);
    if (piece.empty()) continue;
    for (const char c : piece) {
      if (c == ' ') {
        result += space_;
      } else {
        result += c;
      }
    }
    follows_space = remove_extra_whitespaces_ && piece.ends_with(' ');
  }
  if (remove_extra_whitespaces_) {
    while (result.ends_with(space_)) result.resize(result.size() - space_.size());
  }
  if (treat_whitespace_as_suffix_ && add_dummy_prefix_) result += space_;
  return result;
}

}  // namespace llava::text
