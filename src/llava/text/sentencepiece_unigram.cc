// SPDX-License-Identifier: Apache-2.0
//
// The unigram algorithm of SentencePiece: the segmentation with the best sum of piece scores. Sums
// are kept in float32, in the library's order, so that near-ties fall the same way.
#include <algorithm>
#include <limits>

#include "llava/text/sentencepiece_processor.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

/// Score of an unknown character below the worst piece, as the library sets it.
constexpr float kUnknownPenalty = 10.0f;

class UnigramSegmenter final : public SentencePieceSegmenter {
 public:
  explicit UnigramSegmenter(const SentencePieceModel& model) : unk_id_(model.unk_id) {
    float min_score = std::numeric_limits<float>::max();
    max_score_ = std::numeric_limits<float>::min();
    for (std::size_t id = 0; id < model.pieces.size(); ++id) {
      const SentencePiece& piece = model.pieces[id];
      scores_.push_back(piece.score);
      is_user_defined_.push_back(piece.type == PieceType::kUserDefined);
      if (piece.type == PieceType::kNormal) {
        min_score = std::min(min_score, piece.score);
        max_score_ = std::max(max_score_, piece.score);
      }
      if (piece.type == PieceType::kNormal || piece.type == PieceType::kUserDefined) {
        pieces_.insert(piece.text, static_cast<int32_t>(id));
      }
    }
    unknown_score_ = min_score - kUnknownPenalty;
  }

  std::vector<Segment> segment(std::string_view text) const override {
    std::vector<Node> best(text.size() + 1);
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t char_bytes = decode_utf8(text, begin).num_bytes;
      if (!extend_by_pieces(text, begin, char_bytes, best)) {
        offer(best[begin + char_bytes], best[begin].score + unknown_score_, begin, unk_id_);
      }
      begin += char_bytes;
    }
    std::vector<Segment> segments;
    for (std::size_t end = text.size(); end > 0;) {
      const Node& node = best[end];
      const auto begin = static_cast<std::size_t>(node.begin);
      segments.push_back({node.id, text.substr(begin, end - begin)});
      end = begin;
    }
    std::reverse(segments.begin(), segments.end());
    return segments;
  }

 private:
  /// The last piece of the best path that ends at a position.
  struct Node {
    int32_t id = -1;
    float score = 0;
    int64_t begin = -1;
  };

  /// Offers every piece that starts at `begin`; true if one of them is exactly the character there.
  bool extend_by_pieces(std::string_view text, std::size_t begin, std::size_t char_bytes,
                        std::vector<Node>& best) const {
    bool has_single_char = false;
    uint32_t trie_node = ByteTrie::kRoot;
    for (std::size_t end = begin + 1; end <= text.size(); ++end) {
      trie_node = pieces_.child(trie_node, text[end - 1]);
      if (trie_node == ByteTrie::kNone) break;
      const int32_t id = pieces_.value(trie_node);
      if (id < 0) continue;
      const std::size_t length = end - begin;
      offer(best[end], score_of(id, length) + static_cast<double>(best[begin].score), begin, id);
      has_single_char = has_single_char || length == char_bytes;
    }
    return has_single_char;
  }

  /// User-defined pieces get a bonus that makes them win.
  double score_of(int32_t id, std::size_t length) const {
    const auto at = static_cast<std::size_t>(id);
    if (!is_user_defined_[at]) return static_cast<double>(scores_[at]);
    return static_cast<double>(static_cast<float>(length) * max_score_) - 0.1;
  }

  static void offer(Node& node, double score, std::size_t begin, int32_t id) {
    if (node.begin >= 0 && !(score > static_cast<double>(node.score))) return;
    node = {id, static_cast<float>(score), static_cast<int64_t>(begin)};
  }

  int32_t unk_id_;
  ByteTrie pieces_;
  std::vector<float> scores_;
  std::vector<bool> is_user_defined_;
  float max_score_ = 0;
  float unknown_score_ = 0;
};

}  // namespace

std::unique_ptr<const SentencePieceSegmenter> make_unigram_segmenter(
    const SentencePieceModel& model) {
  return std::make_unique<UnigramSegmenter>(model);
}

}  // namespace llava::text
