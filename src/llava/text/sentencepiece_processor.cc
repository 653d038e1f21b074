// SPDX-License-Identifier: Apache-2.0
#include "llava/text/sentencepiece_processor.h"

#include <utility>

#include "llava/text/utf8.h"

namespace llava::text {
namespace {

bool is_reserved(PieceType type) {
  return type == PieceType::kUnknown || type == PieceType::kControl || type == PieceType::kByte;
}

std::unordered_map<std::string_view, int32_t> index_pieces(const SentencePieceModel& model) {
  std::unordered_map<std::string_view, int32_t> ids;
  ids.reserve(model.pieces.size());
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePiece& piece = model.pieces[id];
    // A reserved piece hides another of the same text.
    if (is_reserved(piece.type)) {
      ids[piece.text] = static_cast<int32_t>(id);
    } else {
      ids.try_emplace(piece.text, static_cast<int32_t>(id));
    }
  }
  return ids;
}

ByteTrie index_user_defined(const SentencePieceModel& model) {
  ByteTrie trie;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type == PieceType::kUserDefined) {
      trie.insert(model.pieces[id].text, static_cast<int32_t>(id));
    }
  }
  return trie;
}

/// Appends bytes as text, with one U+FFFD for each byte that is part of no character.
void append_bytes(std::string& text, std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Char c = decode_utf8(bytes, at);
    text += c.is_valid ? bytes.substr(at, c.num_bytes) : kReplacementCharacter;
    at += c.is_valid ? c.num_bytes : 1;
  }
}

}  // namespace

SentencePieceProcessor::SentencePieceProcessor(SentencePieceModel model, std::string_view source)
    : model_(std::move(model)),
      ids_(index_pieces(model_)),
      user_defined_(index_user_defined(model_)),
      normalizer_(model_.normalizer, model_.treat_whitespace_as_suffix, user_defined_, source),
      segmenter_(model_.algorithm == SentencePieceAlgorithm::kBpe
                     ? make_bpe_segmenter(model_, user_defined_)
                     : make_unigram_segmenter(model_)) {
  if (!model_.byte_fallback) return;
  for (int byte = 0; byte < 256; ++byte) {
    byte_ids_.push_back(id_of(piece_of_byte(static_cast<uint8_t>(byte))));
  }
}

SentencePieceProcessor::~SentencePieceProcessor() = default;

int32_t SentencePieceProcessor::id_of(std::string_view piece) const noexcept {
  const auto found = ids_.find(piece);
  return found != ids_.end() ? found->second : model_.unk_id;
}

std::vector<int32_t> SentencePieceProcessor::encode(std::string_view text) const {
  const std::string normalized = normalizer_.normalize(text);
  std::vector<int32_t> ids;
  bool follows_unknown = false;
  for (const auto& segment : segmenter_->segment(normalized)) {
    const bool is_unknown = segment.id == model_.unk_id;
    if (is_unknown && model_.byte_fallback) {
      for (const char byte : segment.text) ids.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
    } else if (!is_unknown || !follows_unknown) {
      ids.push_back(segment.id);
    }
    follows_unknown = is_unknown;
  }
  return ids;
}

std::string SentencePieceProcessor::decode(std::span<const std::string_view> pieces) const {
  const NormalizerSpec& spec = model_.normalizer;
  const bool strips_first_space = spec.add_dummy_prefix || spec.remove_extra_whitespaces;
  std::string text;
  std::string bytes;
  bool at_beginning = true;
  bool stripped_space = false;
  for (const std::string_view piece : pieces) {
    const int32_t id = id_of(piece);
    const PieceType type = model_.pieces[static_cast<std::size_t>(id)].type;
    if (type == PieceType::kByte) {
      bytes += static_cast<char>(byte_of_piece(piece));
      continue;
    }
    append_bytes(text, bytes);
    bytes.clear();
    if (stripped_space || !text.empty()) at_beginning = false;
    stripped_space = false;
    if (type == PieceType::kControl) continue;
    if (type == PieceType::kUnknown) {
      const bool is_the_piece = piece == model_.pieces[static_cast<std::size_t>(id)].text;
      text += is_the_piece ? std::string_view(model_.unk_surface) : piece;
      continue;
    }
    std::string_view rest = piece;
    if (at_beginning && strips_first_space && rest.starts_with(kSpaceSymbol)) {
      rest.remove_prefix(kSpaceSymbol.size());
      // When extra spaces are removed, the next piece at the beginning loses its space as well.
      stripped_space = !spec.remove_extra_whitespaces;
    }
    text += replace_all(rest, kSpaceSymbol, " ");
  }
  append_bytes(text, bytes);
  return text;
}

}  // namespace llava::text
