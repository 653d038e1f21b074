// SPDX-License-Identifier: Apache-2.0
//
// The BPE algorithm of SentencePiece on the shared merge core. The library merges by looking up the
// concatenated text; here every split of every piece is listed once, with the piece's score as
// rank.
#include <algorithm>
#include <functional>
#include <optional>
#include <unordered_map>

#include "llava/text/merge_table.h"
#include "llava/text/sentencepiece_processor.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

bool is_mergeable(PieceType type) {
  return type == PieceType::kNormal || type == PieceType::kUserDefined ||
         type == PieceType::kUnused;
}

class BpeSegmenter final : public SentencePieceSegmenter {
 public:
  BpeSegmenter(const SentencePieceModel& model, const ByteTrie& user_defined)
      : user_defined_(user_defined), unk_id_(model.unk_id) {
    index_pieces(model);
    build_merges(model);
  }

  std::vector<Segment> segment(std::string_view normalized) const override {
    std::vector<Symbol> symbols = initial_symbols(normalized);
    std::vector<Segment> segments;
    segments.reserve(symbols.size());
    if (!has_unused_) {
      table_.apply(symbols);
      std::size_t at = 0;
      for (const Symbol& symbol : symbols) {
        segments.push_back({final_id(symbol.id), normalized.substr(at, symbol.num_bytes)});
        at += symbol.num_bytes;
      }
      return segments;
    }
    SplitLog log{.wanted = &is_unused_};
    table_.apply(symbols, log);
    std::size_t at = 0;
    for (const Symbol& symbol : symbols) {
      append_split(symbol.id, normalized.substr(at, symbol.num_bytes), log, segments);
      at += symbol.num_bytes;
    }
    return segments;
  }

 private:
  // Symbols: [0, num_pieces) pieces; then single characters that are no piece but begin or end one;
  // kStranger for any other character; frozen(id) for user-defined pieces found in the text.
  static constexpr int32_t kStranger = -1;
  static int32_t frozen(int32_t id) { return -2 - id; }

  void index_pieces(const SentencePieceModel& model) {
    const std::size_t size = model.pieces.size();
    is_unused_.resize(size);
    final_ids_.resize(size);
    for (std::size_t id = 0; id < size; ++id) {
      const SentencePiece& piece = model.pieces[id];
      final_ids_[id] = static_cast<int32_t>(id);
      symbol_bytes_.push_back(piece.text.size());
      if (!is_mergeable(piece.type)) continue;
      mergeable_.emplace(piece.text, static_cast<int32_t>(id));
      is_unused_[id] = piece.type == PieceType::kUnused;
      has_unused_ = has_unused_ || is_unused_[id];
    }
    // The library prefers reserved pieces when it turns the text of a symbol into an id.
    for (std::size_t id = 0; id < size; ++id) {
      const SentencePiece& piece = model.pieces[id];
      if (is_mergeable(piece.type)) continue;
      if (const auto same = mergeable_.find(piece.text); same != mergeable_.end()) {
        final_ids_[static_cast<std::size_t>(same->second)] = static_cast<int32_t>(id);
      }
      const Utf8Char c = decode_utf8(piece.text, 0);
      if (c.num_bytes == piece.text.size()) {
        reserved_chars_.emplace(c.code_point, static_cast<int32_t>(id));
      }
    }
  }

  void build_merges(const SentencePieceModel& model) {
    std::vector<float> scores;
    for (const SentencePiece& piece : model.pieces) scores.push_back(piece.score);
    std::sort(scores.begin(), scores.end(), std::greater<>());
    scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
    for (std::size_t id = 0; id < model.pieces.size(); ++id) {
      const SentencePiece& piece = model.pieces[id];
      if (!is_mergeable(piece.type)) continue;
      const auto rank =
          std::lower_bound(scores.begin(), scores.end(), piece.score, std::greater<>()) -
          scores.begin();
      add_splits(piece.text, {static_cast<int32_t>(rank), static_cast<int32_t>(id)});
    }
  }

  void add_splits(std::string_view text, Merge merge) {
    std::optional<int32_t> previous;
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Char c = decode_utf8(text, at);
      const int32_t symbol = char_symbol(c.code_point, text.substr(at, c.num_bytes));
      if (previous) table_.add_joint(*previous, symbol);
      if (at > 0) {
        const auto left = symbol_of(text.substr(0, at));
        const auto right = left ? symbol_of(text.substr(at)) : std::nullopt;
        if (right) table_.add(*left, *right, merge);
      }
      previous = symbol;
      at += c.num_bytes;
    }
  }

  /// The symbol of a character, made on first sight.
  int32_t char_symbol(char32_t code_point, std::string_view text) {
    const auto [found, is_new] = chars_.try_emplace(code_point, 0);
    if (is_new) {
      const auto piece = mergeable_.find(text);
      found->second =
          piece != mergeable_.end() ? piece->second : new_symbol(code_point, text.size());
    }
    return found->second;
  }

  int32_t new_symbol(char32_t code_point, std::size_t num_bytes) {
    symbol_bytes_.push_back(num_bytes);
    const auto reserved = reserved_chars_.find(code_point);
    final_ids_.push_back(reserved != reserved_chars_.end() ? reserved->second : unk_id_);
    return static_cast<int32_t>(final_ids_.size()) - 1;
  }

  std::optional<int32_t> symbol_of(std::string_view text) {
    const Utf8Char c = decode_utf8(text, 0);
    if (c.num_bytes == text.size()) return char_symbol(c.code_point, text);
    const auto piece = mergeable_.find(text);
    if (piece == mergeable_.end()) return std::nullopt;
    return piece->second;
  }

  std::vector<Symbol> initial_symbols(std::string_view text) const {
    std::vector<Symbol> symbols;
    symbols.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
      if (const auto match = user_defined_.longest_match(text, at)) {
        symbols.push_back({frozen(match->value), static_cast<uint32_t>(match->length)});
        at += match->length;
        continue;
      }
      const Utf8Char c = decode_utf8(text, at);
      const auto known = c.is_valid ? chars_.find(c.code_point) : chars_.end();
      symbols.push_back({known != chars_.end() ? known->second : stranger_symbol(c), c.num_bytes});
      at += c.num_bytes;
    }
    return symbols;
  }

  /// A character that no mergeable piece has: reserved or unknown.
  int32_t stranger_symbol(const Utf8Char& c) const {
    const auto reserved = c.is_valid ? reserved_chars_.find(c.code_point) : reserved_chars_.end();
    return reserved != reserved_chars_.end() ? frozen(reserved->second) : kStranger;
  }

  int32_t final_id(int32_t symbol) const {
    if (symbol == kStranger) return unk_id_;
    return symbol < 0 ? -2 - symbol : final_ids_[static_cast<std::size_t>(symbol)];
  }

  /// Takes an unused piece apart again, the way it was last proposed.
  void append_split(int32_t symbol, std::string_view text, const SplitLog& log,
                    std::vector<Segment>& segments) const {
    const bool unused = symbol >= 0 && static_cast<std::size_t>(symbol) < is_unused_.size() &&
                        is_unused_[static_cast<std::size_t>(symbol)];
    const auto split = unused ? log.splits.find(symbol) : log.splits.end();
    if (split == log.splits.end()) {
      segments.push_back({final_id(symbol), text});
      return;
    }
    const auto [left, right] = split->second;
    const std::size_t cut = text.size() - symbol_bytes_[static_cast<std::size_t>(right)];
    append_split(left, text.substr(0, cut), log, segments);
    append_split(right, text.substr(cut), log, segments);
  }

  const ByteTrie& user_defined_;
  int32_t unk_id_;
  bool has_unused_ = false;
  std::vector<bool> is_unused_;
  std::vector<int32_t> final_ids_;
  std::vector<std::size_t> symbol_bytes_;
  std::unordered_map<std::string_view, int32_t> mergeable_;
  std::unordered_map<char32_t, int32_t> reserved_chars_;
  std::unordered_map<char32_t, int32_t> chars_;
  MergeTable table_;
};

}  // namespace

std::unique_ptr<const SentencePieceSegmenter> make_bpe_segmenter(const SentencePieceModel& model,
                                                                 const ByteTrie& user_defined) {
  return std::make_unique<BpeSegmenter>(model, user_defined);
}

}  // namespace llava::text
