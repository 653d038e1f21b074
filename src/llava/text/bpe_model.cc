// SPDX-License-Identifier: Apache-2.0
#include "llava/text/bpe_model.h"

#include <algorithm>
#include <limits>

#include "llava/core/error.h"
#include "llava/text/sentencepiece_model.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

/// How far ids may lie beyond the number of entries: files have small holes, hostile ones large.
constexpr int64_t kMaxHoles = 65536;

}  // namespace

BpeModel::BpeModel(const BpeModelSpec& spec, std::string_view source)
    : prefix_(spec.continuing_subword_prefix),
      suffix_(spec.end_of_word_suffix),
      fuse_unk_(spec.fuse_unk),
      ignore_merges_(spec.ignore_merges) {
  add_vocab(spec, source);
  if (!spec.unk_token.empty()) {
    unk_id_ = id_of(spec.unk_token);
    if (!unk_id_) {
      fail(ErrorCode::kBadFormat, "{}: the unknown token '{}' is not in the vocabulary", source,
           spec.unk_token);
    }
  }
  if (spec.byte_fallback) {
    for (int byte = 0; byte < 256; ++byte) {
      byte_ids_.push_back(id_of(piece_of_byte(static_cast<uint8_t>(byte))).value_or(-1));
    }
  }
  add_merges(spec, source);
}

void BpeModel::add_vocab(const BpeModelSpec& spec, std::string_view source) {
  const auto size = static_cast<int64_t>(spec.vocab.size());
  ids_.reserve(spec.vocab.size());
  for (const auto& [token, id] : spec.vocab) {
    if (id < 0 || id >= size + kMaxHoles) {
      fail(ErrorCode::kBadFormat,
           "{}: token '{}' has id {}, expected 0 to {} for a vocabulary of {} tokens", source,
           token, id, size + kMaxHoles - 1, size);
    }
    const auto [entry, is_new] = ids_.try_emplace(token, id);
    if (!is_new) fail(ErrorCode::kBadFormat, "{}: token '{}' is there twice", source, token);
    if (std::cmp_greater_equal(id, tokens_.size()))
      tokens_.resize(static_cast<std::size_t>(id) + 1);
    std::string_view& slot = tokens_[static_cast<std::size_t>(id)];
    if (slot.data() != nullptr) {
      fail(ErrorCode::kBadFormat, "{}: tokens '{}' and '{}' share the id {}", source, slot, token,
           id);
    }
    slot = entry->first;
    if (token.empty()) continue;
    const Utf8Char c = decode_utf8(token, 0);
    if (c.is_valid && c.num_bytes == token.size()) chars_.emplace(c.code_point, id);
  }
}

void BpeModel::add_merges(const BpeModelSpec& spec, std::string_view source) {
  if (spec.merges.size() > static_cast<std::size_t>(std::numeric_limits<int32_t>::max())) {
    fail(ErrorCode::kBadFormat, "{}: {} merges are too many", source, spec.merges.size());
  }
  std::vector<bool> is_result(tokens_.size());
  bool merges_special = !prefix_.empty() || !suffix_.empty();
  for (std::size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto& [left, right] = spec.merges[rank];
    const auto need = [&](std::string_view token) {
      const auto id = id_of(token);
      if (!id) {
        fail(ErrorCode::kBadFormat, "{}: merge {} ('{}' with '{}') needs '{}', which is no token",
             source, rank, left, right, token);
      }
      return *id;
    };
    const int32_t left_id = need(left);
    const int32_t right_id = need(right);
    const std::size_t skipped = right.starts_with(prefix_) ? prefix_.size() : 0;
    const int32_t result = need(left + right.substr(skipped));
    table_.add(left_id, right_id, {static_cast<int32_t>(rank), result});
    is_result[static_cast<std::size_t>(result)] = true;
    // Pieces that stand for other text than their own could join where no result shows it.
    for (const int32_t id : {left_id, right_id}) {
      merges_special = merges_special || id == unk_id_ ||
                       std::find(byte_ids_.begin(), byte_ids_.end(), id) != byte_ids_.end();
    }
  }
  if (!merges_special) add_joints(is_result);
}

void BpeModel::add_joints(const std::vector<bool>& is_result) {
  for (std::size_t id = 0; id < tokens_.size(); ++id) {
    if (!is_result[id]) continue;
    const std::string_view token = tokens_[id];
    std::optional<int32_t> previous;
    for (std::size_t at = 0; at < token.size();) {
      const Utf8Char c = decode_utf8(token, at);
      const auto found = chars_.find(c.code_point);
      const auto current =
          found != chars_.end() ? std::optional<int32_t>(found->second) : std::nullopt;
      if (previous && current) table_.add_joint(*previous, *current);
      previous = current;
      at += c.num_bytes;
    }
  }
}

std::optional<int32_t> BpeModel::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

std::optional<std::string_view> BpeModel::token_of(int32_t id) const noexcept {
  if (id < 0 || id >= id_limit()) return std::nullopt;
  const std::string_view token = tokens_[static_cast<std::size_t>(id)];
  if (token.data() == nullptr) return std::nullopt;
  return token;
}

std::optional<int32_t> BpeModel::char_id(std::string_view word, std::size_t at,
                                         std::size_t length) const {
  const bool has_prefix = at > 0 && !prefix_.empty();
  const bool has_suffix = at + length == word.size() && !suffix_.empty();
  if (has_prefix || has_suffix) {
    return id_of((has_prefix ? prefix_ : "") + std::string(word.substr(at, length)) +
                 (has_suffix ? suffix_ : ""));
  }
  const auto found = chars_.find(decode_utf8(word, at).code_point);
  if (found == chars_.end()) return std::nullopt;
  return found->second;
}

void BpeModel::append_symbols(std::string_view word, std::vector<Symbol>& symbols) const {
  std::optional<Symbol> unknown;
  const auto flush = [&] {
    if (unknown) symbols.push_back(*unknown);
    unknown.reset();
  };
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t length = decode_utf8(word, at).num_bytes;
    const std::string_view bytes = word.substr(at, length);
    if (const auto id = char_id(word, at, length)) {
      flush();
      symbols.push_back({*id, static_cast<uint32_t>(length)});
    } else if (!byte_ids_.empty() && std::all_of(bytes.begin(), bytes.end(), [&](char byte) {
                 return byte_ids_[static_cast<uint8_t>(byte)] >= 0;
               })) {
      // The library leaves a pending unknown token behind the bytes.
      for (const char byte : bytes) symbols.push_back({byte_ids_[static_cast<uint8_t>(byte)], 1});
    } else if (unk_id_) {
      if (!fuse_unk_) flush();
      const uint32_t fused = unknown ? unknown->num_bytes : 0;
      unknown = Symbol{*unk_id_, fused + static_cast<uint32_t>(length)};
    }
    at += length;
  }
  flush();
}

void BpeModel::encode(std::string_view word, std::vector<int32_t>& ids) const {
  if (word.empty()) return;
  if (ignore_merges_) {
    if (const auto id = id_of(word)) {
      ids.push_back(*id);
      return;
    }
  }
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  append_symbols(word, symbols);
  table_.apply(symbols);
  for (const Symbol& symbol : symbols) ids.push_back(symbol.id);
}

}  // namespace llava::text
