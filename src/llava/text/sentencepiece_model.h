// SPDX-License-Identifier: Apache-2.0
//
// The content of a SentencePiece `tokenizer.model`, parsed and checked. What the pieces do to a
// text is in sentencepiece_processor.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace llava::text {

/// What a piece is for; the numbers are those of the file and of GGUF's token types.
enum class PieceType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct SentencePiece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::kNormal;
};

enum class SentencePieceAlgorithm : uint8_t { kUnigram = 1, kBpe = 2 };

/// How a text is prepared before it is cut into pieces.
struct NormalizerSpec {
  std::string precompiled_charsmap;  ///< empty for the identity
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

struct SentencePieceModel {
  std::vector<SentencePiece> pieces;
  SentencePieceAlgorithm algorithm = SentencePieceAlgorithm::kUnigram;
  NormalizerSpec normalizer;
  bool treat_whitespace_as_suffix = false;
  bool byte_fallback = false;
  int32_t unk_id = 0;  ///< of the one piece of type kUnknown
  int32_t bos_id = 1;  ///< -1 when there is none
  int32_t eos_id = 2;
  int32_t pad_id = -1;
  std::string unk_surface = " \xE2\x81\x87 ";
};

/// Longest piece accepted, in bytes; trained models stop at 16 characters unless told otherwise.
inline constexpr std::size_t kMaxPieceBytes = 1024;

/// Parses the bytes of a `tokenizer.model`; `source` names it in messages.
///
/// Throws: Error(kBadFormat) with the offset or the piece for malformed content,
/// Error(kUnsupported) for the word and character algorithms and for denormalizers.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, std::string_view source);

/// Reads and parses a file.
///
/// Throws: Error(kNotFound), and what parse_sentencepiece_model throws.
SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path);

/// Checks the rules that every model obeys, whichever file it came from: one unknown piece, no
/// empty or repeated piece, all byte pieces or none. Sets `unk_id`.
///
/// Throws: Error(kBadFormat) naming the piece.
void check_sentencepiece_model(SentencePieceModel& model, std::string_view source);

/// The byte that a piece such as "<0x0A>" stands for, or -1.
int byte_of_piece(std::string_view piece) noexcept;

/// The piece of a byte: "<0x0A>".
std::string piece_of_byte(uint8_t byte);

}  // namespace llava::text
