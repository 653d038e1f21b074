// SPDX-License-Identifier: Apache-2.0
//
// A micro-batch as the model takes it: all sequences one after the other, without padding.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llava/data/sample.h"
#include "llava/text/multimodal_sequence.h"

namespace llava::data {

/// Neighbouring rows that see each other causally, and before themselves `num_past` rows from
/// `past_row` on.
struct BatchPart {
  int32_t num_rows = 0;
  int32_t past_row = 0;
  int32_t num_past = 0;

  bool operator==(const BatchPart&) const = default;
};

/// Plain integers and references to the pictures; the samples outlive it.
struct FlatBatch {
  std::vector<int32_t> ids;        ///< placeholders where rows of pictures go
  std::vector<int32_t> positions;  ///< from 0 in each sequence
  std::vector<BatchPart> parts;    ///< cover the rows, in order
  std::vector<const PreparedPicture*> pictures;
  /// The run of each picture, which the length limit may cut.
  std::vector<text::ImageSpan> runs;
  /// Rows of the pictures' merged features that enter, in the order of `runs`: all of them, but for
  /// what is cut.
  std::vector<int32_t> feature_rows;
  bool uses_all_feature_rows = true;
  /// Rows whose next token is trained, and that token. A row that several samples share may
  /// predict a token of each.
  std::vector<int32_t> predicting_rows;
  std::vector<int64_t> targets;

  int64_t num_tokens() const { return static_cast<int64_t>(ids.size()); }
};

/// Puts samples one after the other, pictures expanded, each cut at `max_length` tokens.
///
/// A label is predicted by the row before it, which may be a picture's last one. Pictures of a
/// sample that no token stands for are left out. With `shares_prefixes`, samples that begin with
/// the same tokens and pictures have that beginning, up to the first trained token at most, once:
/// each sees it and itself, so losses are those of separate samples.
FlatBatch make_flat_batch(std::span<const Sample* const> samples, int32_t max_length,
                          bool shares_prefixes);

}  // namespace llava::data
