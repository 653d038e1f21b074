// SPDX-License-Identifier: Apache-2.0
#include "llava/text/llama_tokenizer.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "llava/core/error.h"
#include "llava/text/python_text.h"
#include "llava/text/token_guard.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

std::string_view strip_left(std::string_view text) {
  while (!text.empty()) {
    const Utf8Char c = decode_utf8(text, 0);
    if (!is_python_space(c.code_point)) break;
    text.remove_prefix(c.num_bytes);
  }
  return text;
}

std::string_view strip_right(std::string_view text) {
  std::size_t end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    at += c.num_bytes;
    if (!is_python_space(c.code_point)) end = at;
  }
  return text.substr(0, end);
}

SentencePieceModel without_dummy_prefix(SentencePieceModel model, bool legacy) {
  if (!legacy) model.normalizer.add_dummy_prefix = false;
  return model;
}

TokenizerSettings with_defaults(TokenizerSettings settings) {
  settings.set_default("bos_token", "<s>");
  settings.set_default("eos_token", "</s>");
  settings.set_default("unk_token", "<unk>");
  return settings;
}

}  // namespace

LlamaTokenizer::LlamaTokenizer(SentencePieceModel model, TokenizerSettings settings)
    : legacy_(settings.legacy.value_or(true)),
      adds_bos_(settings.add_bos_token.value_or(true)),
      adds_eos_(settings.add_eos_token.value_or(false)),
      settings_(with_defaults(std::move(settings))),
      pieces_(without_dummy_prefix(std::move(model), legacy_), settings_.source),
      unk_token_(named_token("unk_token")),
      added_(settings_.added) {
  unk_token_length_ = pieces_.encode(unk_token_).size();
  for (const auto& [id, token] : added_) added_ids_[token.content] = id;
  std::vector<AddedToken> missing = settings_.special_tokens();
  std::erase_if(missing, [&](const AddedToken& t) { return added_ids_.contains(t.content); });
  add_tokens(missing);
}

int32_t LlamaTokenizer::num_pieces() const noexcept {
  return static_cast<int32_t>(pieces_.model().pieces.size());
}

void LlamaTokenizer::add_tokens(const std::vector<AddedToken>& tokens) {
  refresh();
  int32_t next = size_;
  for (const AddedToken& token : tokens) {
    if (token.content.empty() || added_ids_.contains(token.content)) continue;
    const auto known = id_of(token.content);
    const int32_t id = known ? *known : next++;
    if (const auto old = added_.find(id); old != added_.end()) {
      fail(ErrorCode::kBadFormat,
           "{}: the added token '{}' would get id {}, which '{}' has: the ids of the added tokens "
           "leave holes",
           settings_.source, token.content, id, old->second.content);
    }
    added_[id] = token;
    added_ids_[token.content] = id;
  }
  refresh();
}

void LlamaTokenizer::refresh() {
  added_trie_ = {};
  specials_.clear();
  special_ids_.clear();
  separators_.clear();
  for (const auto& [id, token] : added_) {
    if (!token.content.empty()) added_trie_.insert(token.content, id);
  }
  for (const AddedToken& token : settings_.special_tokens()) {
    specials_.insert(token.content);
    if (const auto id = id_of(token.content)) special_ids_.insert(*id);
  }
  for (const auto& [id, token] : added_) {
    if (!specials_.contains(token.content)) separators_.insert(token.content);
  }
  for (const AddedToken& token : settings_.additional_special_tokens) {
    const auto id = id_of(token.content);
    if (id && *id >= num_pieces()) separators_.insert(token.content);
  }
  std::unordered_set<std::string_view> vocabulary;
  for (int32_t id = 0; id < num_pieces(); ++id) {
    const auto added = added_.find(id);
    vocabulary.insert(added != added_.end()
                          ? std::string_view(added->second.content)
                          : pieces_.model().pieces[static_cast<std::size_t>(id)].text);
  }
  for (const auto& [content, id] : added_ids_) vocabulary.insert(content);
  size_ = static_cast<int32_t>(vocabulary.size());
}

int32_t LlamaTokenizer::add_special_token(std::string_view token) {
  if (token.empty()) fail(ErrorCode::kInvalidArgument, "an added token cannot be empty");
  if (const auto known = added_ids_.find(token); known != added_ids_.end()) return known->second;
  const AddedToken added{.content = std::string(token), .special = true};
  settings_.additional_special_tokens.push_back(added);
  add_tokens({added});
  return added_ids_.find(token)->second;
}

std::vector<std::string> LlamaTokenizer::split_on_added(std::string_view text) const {
  std::vector<std::string> tokens;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto match = added_trie_.longest_match(text, at);
    if (!match) {
      ++at;
      continue;
    }
    if (done < at) tokens.emplace_back(text.substr(done, at - done));
    tokens.emplace_back(text.substr(at, match->length));
    at += match->length;
    done = at;
  }
  if (done < text.size()) tokens.emplace_back(text.substr(done));
  // White space and word rules, step by step as the published tokenizer applies them.
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto found = added_ids_.find(tokens[i]);
    if (found == added_ids_.end()) continue;
    const AddedToken& token = added_.at(found->second);
    std::string* left = i > 0 ? &tokens[i - 1] : nullptr;
    std::string* right = i + 1 < tokens.size() ? &tokens[i + 1] : nullptr;
    const bool has_left = left != nullptr && !left->empty();
    const bool has_right = right != nullptr && !right->empty();
    const bool touches_left = has_left && left->back() != ' ';
    const bool touches_right = has_right && right->front() != ' ';
    if (token.rstrip && has_right) *right = strip_left(*right);
    if (token.lstrip && has_left) *left = strip_right(*left);
    if (token.single_word && touches_left) {
      *left += std::exchange(tokens[i], {});
    } else if (token.single_word && touches_right) {
      *right = std::exchange(tokens[i], {}) + *right;
    }
  }
  return tokens;
}

void LlamaTokenizer::append_segment(std::string_view segment, std::vector<int32_t>& ids) const {
  const bool keeps_space =
      !legacy_ && (segment.starts_with(kSpaceSymbol) || segment.starts_with(' '));
  if (!keeps_space) {
    const std::vector<int32_t> pieces = pieces_.encode(segment);
    ids.insert(ids.end(), pieces.begin(), pieces.end());
    return;
  }
  // A leading space survives only behind other text, so some is put in front and cut off again.
  const std::vector<int32_t> pieces = pieces_.encode(unk_token_ + std::string(segment));
  const std::size_t skipped = pieces.size() >= unk_token_length_ ? unk_token_length_ : 0;
  ids.insert(ids.end(), pieces.begin() + static_cast<std::ptrdiff_t>(skipped), pieces.end());
}

std::vector<int32_t> LlamaTokenizer::encode_text(std::string_view raw, bool add_special,
                                                 bool has_guards) const {
  std::string text = replace_invalid_utf8(raw);
  if (!legacy_ && !text.empty()) {
    text = std::string(kSpaceSymbol) + replace_all(text, kSpaceSymbol, " ");
  }
  std::vector<int32_t> ids;
  if (add_special && adds_bos_) {
    if (const auto bos = bos_id()) ids.push_back(*bos);
  }
  const std::size_t begin = ids.size();
  for (const std::string& token : split_on_added(text)) {
    if (const auto added = added_ids_.find(token); added != added_ids_.end()) {
      ids.push_back(added->second);
    } else if (!token.empty()) {
      append_segment(has_guards ? remove_guards(token) : token, ids);
    }
  }
  if (!legacy_ && ids.size() > begin + 1 && special_ids_.contains(ids[begin + 1]) &&
      token_text(ids[begin]) == kSpaceSymbol) {
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(begin));
  }
  if (add_special && adds_eos_) {
    if (const auto eos = eos_id()) ids.push_back(*eos);
  }
  return ids;
}

std::string LlamaTokenizer::join_pieces(std::vector<std::string_view> pieces) const {
  if (pieces.front().starts_with(kSpaceSymbol)) pieces.front().remove_prefix(kSpaceSymbol.size());
  std::string text;
  std::vector<std::string_view> run;
  bool follows_special = false;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (!specials_.contains(pieces[i])) {
      run.push_back(pieces[i]);
      follows_special = false;
      continue;
    }
    if (legacy_ && !follows_special && i > 0) text += ' ';
    text += pieces_.decode(run);
    text += pieces[i];
    run.clear();
    follows_special = true;
  }
  return text + pieces_.decode(run);
}

std::string LlamaTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::vector<std::string> texts;
  std::vector<std::string_view> pieces;
  for (const int32_t id : ids) {
    const auto added = added_.find(id);
    if (added == added_.end() && (id < 0 || id >= num_pieces())) {
      const int32_t limit =
          added_.empty() ? num_pieces() : std::max(num_pieces(), added_.rbegin()->first + 1);
      fail(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {} ids", id,
           limit);
    }
    if (skip_special && special_ids_.contains(id)) continue;
    const std::string_view piece = added != added_.end()
                                       ? std::string_view(added->second.content)
                                       : pieces_.model().pieces[static_cast<std::size_t>(id)].text;
    if (!separators_.contains(piece)) {
      pieces.push_back(piece);
      continue;
    }
    if (!pieces.empty()) {
      std::string text = join_pieces(std::move(pieces));
      if (!text.empty()) texts.push_back(std::move(text));
      pieces.clear();
    }
    texts.emplace_back(piece);
  }
  if (!pieces.empty()) texts.push_back(join_pieces(std::move(pieces)));
  std::string result;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) result += ' ';
    result += texts[i];
  }
  return result;
}

std::optional<int32_t> LlamaTokenizer::id_of(std::string_view token) const {
  if (const auto added = added_ids_.find(token); added != added_ids_.end()) return added->second;
  const int32_t id = pieces_.id_of(token);
  if (pieces_.model().pieces[static_cast<std::size_t>(id)].text != token) return std::nullopt;
  return id;
}

std::string LlamaTokenizer::token_text(int32_t id) const {
  if (const auto added = added_.find(id); added != added_.end()) return added->second.content;
  if (id < 0 || id >= num_pieces()) return {};
  return pieces_.model().pieces[static_cast<std::size_t>(id)].text;
}

std::optional<std::string> LlamaTokenizer::token_bytes(int32_t id, bool is_first) const {
  // Added tokens are set off by spaces.
  if (is_special(id) || added_.contains(id) || id < 0 || id >= num_pieces()) return std::nullopt;
  const SentencePiece& piece = pieces_.model().pieces[static_cast<std::size_t>(id)];
  switch (piece.type) {
    case PieceType::kByte:
      return std::string(1, static_cast<char>(byte_of_piece(piece.text)));
    case PieceType::kControl:
    case PieceType::kUnknown:
      return std::nullopt;
    default:
      return is_first ? decode({&id, 1}, false) : replace_all(piece.text, kSpaceSymbol, " ");
  }
}

std::string LlamaTokenizer::named_token(std::string_view name) const {
  if (const auto found = settings_.named.find(name); found != settings_.named.end()) {
    return found->second ? found->second->content : std::string();
  }
  const auto extra = settings_.extra_named.find(name);
  return extra != settings_.extra_named.end() ? extra->second : std::string();
}

std::optional<int32_t> LlamaTokenizer::named_id(std::string_view name) const {
  const std::string token = named_token(name);
  return token.empty() ? std::nullopt : id_of(token);
}

}  // namespace llava::text
