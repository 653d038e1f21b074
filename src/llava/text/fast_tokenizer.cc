// SPDX-License-Identifier: Apache-2.0
#include "llava/text/fast_tokenizer.h"

#include <algorithm>
#include <utility>

#include "llava/core/error.h"
#include "llava/text/token_guard.h"
#include "llava/text/utf8.h"

namespace llava::text {

FastTokenizer::FastTokenizer(FastTokenizerSpec spec)
    : model_(spec.model, spec.source),
      normalizer_(std::move(spec.normalizer)),
      pre_tokenizer_(std::move(spec.pre_tokenizer)),
      decoder_(std::move(spec.decoder)),
      prefix_(std::move(spec.prefix)),
      suffix_(std::move(spec.suffix)),
      named_tokens_(std::move(spec.named_tokens)) {
  add_tokens(spec.added_tokens);
  for (const auto* side : {&prefix_, &suffix_}) {
    for (const int32_t id : *side) {
      if (id < 0 || id >= id_limit()) {
        fail(ErrorCode::kBadFormat,
             "{}: id {} is put around every text, but the vocabulary has {} ids", spec.source, id,
             id_limit());
      }
    }
  }
}

void FastTokenizer::add_tokens(const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    auto id = id_of(token.content);
    if (!id) {
      const auto& added = added_.tokens();
      const int32_t last = added.empty() ? -1 : added.rbegin()->first;
      id = last >= model_.size() ? last + 1 : model_.size();
    }
    added_.add(token, *id);
  }
  added_.finish(normalizer_);
}

void FastTokenizer::set_surroundings(std::vector<int32_t> prefix, std::vector<int32_t> suffix) {
  prefix_ = std::move(prefix);
  suffix_ = std::move(suffix);
}

void FastTokenizer::set_named_token(std::string name, std::string token) {
  named_tokens_[std::move(name)] = std::move(token);
}

int32_t FastTokenizer::add_special_token(std::string_view token) {
  if (token.empty()) fail(ErrorCode::kInvalidArgument, "an added token cannot be empty");
  add_tokens({AddedToken{.content = std::string(token), .special = true}});
  return *id_of(token);
}

std::vector<int32_t> FastTokenizer::encode_text(std::string_view raw, bool add_special,
                                                bool has_guards) const {
  const std::string text = replace_invalid_utf8(raw);
  std::vector<int32_t> ids;
  if (add_special) ids = prefix_;
  for (const AddedSplit& split : added_.split_raw(text)) {
    if (split.id) {
      ids.push_back(*split.id);
      continue;
    }
    append_segment(std::string_view(text).substr(split.begin, split.end - split.begin),
                   split.begin == 0, has_guards, ids);
  }
  if (add_special) ids.insert(ids.end(), suffix_.begin(), suffix_.end());
  return ids;
}

void FastTokenizer::append_segment(std::string_view text, bool at_start, bool has_guards,
                                   std::vector<int32_t>& ids) const {
  const std::string normalized = normalizer_.normalize(text);
  for (const AddedSplit& split : added_.split_normalized(normalized)) {
    if (split.id) {
      ids.push_back(*split.id);
      continue;
    }
    std::string ordinary = normalized.substr(split.begin, split.end - split.begin);
    if (has_guards) ordinary = remove_guards(ordinary);
    std::vector<TextPiece> pieces;
    pieces.push_back({std::move(ordinary), at_start && split.begin == 0});
    if (pre_tokenizer_) pre_tokenizer_->apply(pieces);
    for (const TextPiece& piece : pieces) model_.encode(piece.text, ids);
  }
}

std::string FastTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids) {
    if (id < 0 || id >= id_limit()) {
      fail(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {} ids", id,
           id_limit());
    }
    std::string token = token_text(id);
    if (skip_special && added_.is_special(token)) continue;
    tokens.push_back(std::move(token));
  }
  return decoder_.decode(std::move(tokens));
}

int32_t FastTokenizer::size() const {
  int32_t size = model_.size();
  for (const auto& [id, token] : added_.tokens()) size += model_.id_of(token.content) ? 0 : 1;
  return size;
}

int32_t FastTokenizer::id_limit() const {
  const auto& added = added_.tokens();
  return std::max(model_.id_limit(), added.empty() ? 0 : added.rbegin()->first + 1);
}

std::optional<int32_t> FastTokenizer::id_of(std::string_view token) const {
  if (const auto id = added_.id_of(token)) return id;
  return model_.id_of(token);
}

std::string FastTokenizer::token_text(int32_t id) const {
  if (const AddedToken* token = added_.find(id)) return token->content;
  return std::string(model_.token_of(id).value_or(""));
}

bool FastTokenizer::is_special(int32_t id) const { return added_.is_special(token_text(id)); }

std::vector<std::string> FastTokenizer::special_tokens() const {
  std::vector<std::string> tokens;
  for (const auto& [id, token] : added_.tokens()) {
    if (added_.is_special(token.content)) tokens.push_back(token.content);
  }
  return tokens;
}

std::optional<std::string> FastTokenizer::token_bytes(int32_t id, bool is_first) const {
  std::string token = token_text(id);
  if (token.empty() || added_.is_special(token)) return std::nullopt;
  return decoder_.bytes_of(std::move(token), is_first);
}

std::string FastTokenizer::named_token(std::string_view name) const {
  const auto found = named_tokens_.find(name);
  return found != named_tokens_.end() ? found->second : std::string();
}

std::optional<int32_t> FastTokenizer::named_id(std::string_view name) const {
  const std::string token = named_token(name);
  return token.empty() ? std::nullopt : id_of(token);
}

bool FastTokenizer::adds_bos() const {
  const auto bos = bos_id();
  return bos && !prefix_.empty() && prefix_.front() == *bos;
}

}  // namespace llava::text
