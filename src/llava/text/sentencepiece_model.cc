// SPDX-License-Identifier: Apache-2.0
#include "llava/text/sentencepiece_model.h"

#include <array>
#include <cmath>
#include <unordered_set>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/text/protobuf_reader.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

constexpr uint64_t kMaxModelBytes = 256u << 20;

bool is_matched_in_text(PieceType type) {
  return type == PieceType::kNormal || type == PieceType::kUserDefined ||
         type == PieceType::kUnused;
}

SentencePiece parse_piece(ProtobufReader reader, std::string_view source, std::size_t index) {
  SentencePiece piece;
  while (const auto field = reader.next()) {
    switch (field->number) {
      case 1:
        piece.text = reader.bytes(*field, "the text of a piece");
        break;
      case 2:
        piece.score = reader.float32(*field, "the score of a piece");
        break;
      case 3: {
        const uint64_t type = reader.varint(*field, "the type of a piece");
        if (type < 1 || type > 6) {
          fail(ErrorCode::kBadFormat, "{}: piece {} has type {}, expected 1 to 6", source, index,
               type);
        }
        piece.type = static_cast<PieceType>(type);
        break;
      }
      default:
        break;
    }
  }
  return piece;
}

void parse_trainer_spec(ProtobufReader reader, std::string_view source, SentencePieceModel& model) {
  const auto id = [&](const ProtobufField& field) {
    return static_cast<int32_t>(reader.varint(field, "a token id"));
  };
  while (const auto field = reader.next()) {
    switch (field->number) {
      case 3: {
        const uint64_t algorithm = reader.varint(*field, "model_type");
        if (algorithm == 3 || algorithm == 4) {
          fail(ErrorCode::kUnsupported,
               "{}: SentencePiece model of type {} (expected unigram or BPE): use a tokenizer.json",
               source, algorithm == 3 ? "word" : "char");
        }
        if (algorithm != 1 && algorithm != 2) {
          fail(ErrorCode::kBadFormat, "{}: model_type is {}, expected 1 to 4", source, algorithm);
        }
        model.algorithm = static_cast<SentencePieceAlgorithm>(algorithm);
        break;
      }
      case 24:
        model.treat_whitespace_as_suffix = reader.varint(*field, "treat_whitespace_as_suffix") != 0;
        break;
      case 35:
        model.byte_fallback = reader.varint(*field, "byte_fallback") != 0;
        break;
      case 41:
        model.bos_id = id(*field);
        break;
      case 42:
        model.eos_id = id(*field);
        break;
      case 43:
        model.pad_id = id(*field);
        break;
      case 44:
        model.unk_surface = reader.bytes(*field, "unk_surface");
        break;
      default:
        break;
    }
  }
}

void parse_normalizer_spec(ProtobufReader reader, NormalizerSpec& spec) {
  while (const auto field = reader.next()) {
    switch (field->number) {
      case 2:
        spec.precompiled_charsmap = reader.bytes(*field, "precompiled_charsmap");
        break;
      case 3:
        spec.add_dummy_prefix = reader.varint(*field, "add_dummy_prefix") != 0;
        break;
      case 4:
        spec.remove_extra_whitespaces = reader.varint(*field, "remove_extra_whitespaces") != 0;
        break;
      case 5:
        spec.escape_whitespaces = reader.varint(*field, "escape_whitespaces") != 0;
        break;
      default:
        break;
    }
  }
}

void refuse_denormalizer(ProtobufReader reader, std::string_view source) {
  NormalizerSpec spec;
  parse_normalizer_spec(std::move(reader), spec);
  if (!spec.precompiled_charsmap.empty()) {
    fail(
        ErrorCode::kUnsupported,
        "{}: the model has a denormalizer, which rewrites decoded text and is not supported: use a "
        "tokenizer.json",
        source);
  }
}

void check_byte_pieces(const SentencePieceModel& model, std::string_view source) {
  std::array<bool, 256> found{};
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePiece& piece = model.pieces[id];
    if (piece.type != PieceType::kByte) continue;
    const int byte = byte_of_piece(piece.text);
    if (byte < 0) {
      fail(ErrorCode::kBadFormat, "{}: byte piece {} is '{}', expected <0x00> to <0xFF>", source,
           id, piece.text);
    }
    if (!model.byte_fallback) {
      fail(ErrorCode::kBadFormat, "{}: piece {} is a byte, but byte_fallback is off", source, id);
    }
    found[static_cast<std::size_t>(byte)] = true;
  }
  if (!model.byte_fallback) return;
  for (std::size_t byte = 0; byte < found.size(); ++byte) {
    if (!found[byte]) {
      fail(ErrorCode::kBadFormat, "{}: byte_fallback is on, but the piece {} is missing", source,
           piece_of_byte(static_cast<uint8_t>(byte)));
    }
  }
}

}  // namespace

int byte_of_piece(std::string_view piece) noexcept {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int byte = 0;
  for (const char c : piece.substr(3, 2)) {
    int digit = 0;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'A' && c <= 'F') {
      digit = c - 'A' + 10;
    } else {
      return -1;
    }
    byte = 16 * byte + digit;
  }
  return byte;
}

std::string piece_of_byte(uint8_t byte) { return fmt::format("<0x{:02X}>", byte); }

void check_sentencepiece_model(SentencePieceModel& model, std::string_view source) {
  std::unordered_set<std::string_view> matched;
  std::unordered_set<std::string_view> reserved;
  std::size_t num_unknown = 0;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePiece& piece = model.pieces[id];
    if (piece.text.empty()) {
      fail(ErrorCode::kBadFormat, "{}: piece {} is empty", source, id);
    }
    if (piece.text.size() > kMaxPieceBytes) {
      fail(ErrorCode::kBadFormat, "{}: piece {} has {} bytes, expected at most {}", source, id,
           piece.text.size(), kMaxPieceBytes);
    }
    if (!is_valid_utf8(piece.text)) {
      fail(ErrorCode::kBadFormat, "{}: piece {} is not valid UTF-8", source, id);
    }
    if (!std::isfinite(piece.score)) {
      fail(ErrorCode::kBadFormat, "{}: piece {} ('{}') has a score that is not finite", source, id,
           piece.text);
    }
    if (!(is_matched_in_text(piece.type) ? matched : reserved).insert(piece.text).second) {
      fail(ErrorCode::kBadFormat, "{}: piece {} ('{}') is there twice", source, id, piece.text);
    }
    if (piece.type == PieceType::kUnknown) {
      model.unk_id = static_cast<int32_t>(id);
      ++num_unknown;
    }
  }
  if (num_unknown != 1) {
    fail(ErrorCode::kBadFormat, "{}: {} pieces of type unknown, expected 1", source, num_unknown);
  }
  check_byte_pieces(model, source);
}

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, std::string_view source) {
  SentencePieceModel model;
  const std::string name(source);
  ProtobufReader reader(bytes, name);
  while (const auto field = reader.next()) {
    switch (field->number) {
      case 1:
        model.pieces.push_back(
            parse_piece(reader.message(*field, "a piece"), source, model.pieces.size()));
        break;
      case 2:
        parse_trainer_spec(reader.message(*field, "trainer_spec"), source, model);
        break;
      case 3:
        parse_normalizer_spec(reader.message(*field, "normalizer_spec"), model.normalizer);
        break;
      case 5:
        refuse_denormalizer(reader.message(*field, "denormalizer_spec"), source);
        break;
      default:
        break;
    }
  }
  if (model.pieces.empty()) {
    fail(ErrorCode::kBadFormat, "{}: no pieces: this is not a SentencePiece model", source);
  }
  check_sentencepiece_model(model, source);
  return model;
}

SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path) {
  return parse_sentencepiece_model(read_file(path, kMaxModelBytes), path.string());
}

}  // namespace llava::text
