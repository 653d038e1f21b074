// SPDX-License-Identifier: Apache-2.0
#include "llava/text/sentencepiece_conversion.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "llava/core/error.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

struct Candidate {
  float score;
  std::size_t result;
  int32_t left;
  int32_t right;
};

/// Every split of every piece into two pieces: best score first, then in the order of the pieces,
/// then by the ids of the parts.
std::vector<Candidate> list_merges(const SentencePieceModel& model) {
  std::unordered_map<std::string_view, int32_t> ids;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    ids[model.pieces[id].text] = static_cast<int32_t>(id);
  }
  std::vector<Candidate> merges;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const std::string_view text = model.pieces[id].text;
    // The converter gives the first three pieces the score of special tokens.
    const float score = id < 3 ? 0.0f : model.pieces[id].score;
    for (std::size_t at = decode_utf8(text, 0).num_bytes; at < text.size();
         at += decode_utf8(text, at).num_bytes) {
      const auto left = ids.find(text.substr(0, at));
      if (left == ids.end()) continue;
      const auto right = ids.find(text.substr(at));
      if (right != ids.end()) merges.push_back({score, id, left->second, right->second});
    }
  }
  std::sort(merges.begin(), merges.end(), [](const Candidate& a, const Candidate& b) {
    if (a.score != b.score) return a.score > b.score;
    return std::tie(a.result, a.left, a.right) < std::tie(b.result, b.left, b.right);
  });
  return merges;
}

}  // namespace

FastTokenizerSpec convert_sentencepiece(const SentencePieceModel& model, std::string_view source) {
  if (model.algorithm != SentencePieceAlgorithm::kBpe) {
    fail(ErrorCode::kUnsupported,
         "{}: only SentencePiece BPE models have a fast form here; this one is unigram: use the "
         "slow "
         "form",
         source);
  }
  FastTokenizerSpec spec;
  spec.source = source;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    spec.model.vocab.emplace_back(model.pieces[id].text, static_cast<int32_t>(id));
  }
  for (const Candidate& merge : list_merges(model)) {
    spec.model.merges.emplace_back(model.pieces[static_cast<std::size_t>(merge.left)].text,
                                   model.pieces[static_cast<std::size_t>(merge.right)].text);
  }
  spec.model.unk_token = model.pieces[static_cast<std::size_t>(model.unk_id)].text;
  spec.model.fuse_unk = true;
  spec.model.byte_fallback = true;
  for (const char* content : {"<unk>", "<s>", "</s>"}) {
    spec.added_tokens.push_back({.content = content, .special = true});
  }
  const std::string space_symbol(kSpaceSymbol);
  spec.normalizer.add(TextNormalizer::Prepend{space_symbol});
  spec.normalizer.add(TextNormalizer::Replace{RegexPattern::literal(" "), space_symbol});
  spec.decoder.add(TokenDecoder::Replace{RegexPattern::literal(kSpaceSymbol), " "});
  spec.decoder.add(TokenDecoder::ByteFallback{});
  spec.decoder.add(TokenDecoder::Fuse{});
  spec.decoder.add(TokenDecoder::Strip{" ", 1, 0});
  return spec;
}

}  // namespace llava::text
